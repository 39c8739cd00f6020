import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { findFreePort } from '~/processes/ports'
import { until } from './until'

const PASSWORD = 'only-for-tests'
const SLOTS = 16_384
const HOST = '127.0.0.1'

export type RedisCluster = Awaited<ReturnType<typeof startRedisCluster>>

/** Three masters without replicas, that share the slots and take each other for dead after a second. The caller closes it. */
export async function startRedisCluster(binary: string) {
  const folder = mkdtempSync(join(tmpdir(), 'evo-redis-cluster-'))
  const nodes: ReturnType<typeof createNode>[] = []
  for (let index = 0; index < 3; index++)
    nodes.push(createNode(binary, join(folder, String(index)), await findFreePort(), await findFreePort()))
  for (const node of nodes) node.start()

  const [first] = nodes
  await Promise.all(
    nodes.map(async ({ admin }, index) => {
      await until(() => admin.status === 'ready')
      await admin.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
      const from = (at: number) => Math.ceil((SLOTS * at) / nodes.length)
      await admin.call('CLUSTER', 'ADDSLOTSRANGE', from(index), from(index + 1) - 1)
    }),
  )
  for (const { port, busPort } of nodes.slice(1)) await first?.admin.call('CLUSTER', 'MEET', HOST, port, busPort)

  /** All nodes see each other, and all slots are served. */
  const untilWhole = () =>
    until(async () => {
      const states = await Promise.all(nodes.map(({ admin }) => (admin.status === 'ready' ? admin.cluster('INFO') : '')))
      return states.every((state) => state.includes('cluster_state:ok') && state.includes('cluster_known_nodes:3'))
    })

  const close = () => {
    for (const { admin, kill } of nodes) {
      admin.disconnect()
      kill('SIGKILL')
    }
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await untilWhole()
  } catch (error) {
    close()
    throw error
  }
  return {
    /** Of the first two: the third is found. */
    urls: nodes
      .slice(0, 2)
      .map(({ port }) => `redis://:${PASSWORD}@${HOST}:${port}/0`)
      .join(','),
    untilWhole,
    /** The node that has the key. */
    async ownerOf(key: string) {
      const slot = Number(await first?.admin.cluster('KEYSLOT', key))
      const owner = nodes[Math.floor((slot * nodes.length) / SLOTS)]
      if (owner === undefined) throw new Error(`nobody has slot ${slot}`)
      return owner
    },
    nodes,
    close,
  }
}

function createNode(binary: string, dir: string, port: number, busPort: number) {
  mkdirSync(dir)
  const settings = join(dir, 'redis.conf')
  const lines = {
    port,
    'cluster-port': busPort,
    'cluster-enabled': 'yes',
    'cluster-node-timeout': 1000,
    bind: HOST,
    dir,
    requirepass: PASSWORD,
    masterauth: PASSWORD,
    save: '""',
    appendonly: 'no',
    loglevel: 'warning',
  }
  writeFileSync(
    settings,
    Object.entries(lines)
      .map(([name, value]) => `${name} ${value}\n`)
      .join(''),
  )
  const admin = new Redis({ host: HOST, port, password: PASSWORD, lazyConnect: true, retryStrategy: () => 50, maxRetriesPerRequest: 0 })
  // While it is down.
  admin.on('error', () => undefined)
  let child: Bun.Subprocess | undefined
  const kill = (signal: NodeJS.Signals) => {
    if (child !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, signal)
  }
  return {
    port,
    busPort,
    admin,
    start() {
      child = Bun.spawn(['/bin/sh', '-c', KEEPER, binary, settings], { stdin: 'pipe', stdout: 'ignore', stderr: 'ignore', detached: true })
      if (admin.status === 'wait') admin.connect().catch(() => undefined)
    },
    /** The server and its keeper, which are one process group. */
    kill,
    async end() {
      kill('SIGKILL')
      await child?.exited
    },
  }
}

/** Ends the server when the pipe that we hold breaks, so that none outlives the tests. */
const KEEPER = `
exec 3<&0
"$0" "$1" </dev/null 3<&- & server=$!
(read _ <&3; kill -KILL $server) &
wait $server`
