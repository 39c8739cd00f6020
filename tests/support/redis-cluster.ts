import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findFreePort } from '~/processes/ports'
import { createNode, HOST, PASSWORD, type RedisNode, removeNodes } from './redis-node'
import { until } from './until'

const SLOTS = 16_384

export type RedisCluster = Awaited<ReturnType<typeof startRedisCluster>>

/** Three masters without replicas, that share the slots and take each other for dead after a second. The caller closes it. */
export async function startRedisCluster(binary: string) {
  const folder = mkdtempSync(join(tmpdir(), 'evo-redis-cluster-'))
  const nodes: (RedisNode & { busPort: number })[] = []
  for (let index = 0; index < 3; index++) {
    const [port, busPort] = [await findFreePort(), await findFreePort()]
    const lines = ['cluster-enabled yes', `cluster-port ${busPort}`, 'cluster-node-timeout 1000', `masterauth ${PASSWORD}`, 'save ""']
    nodes.push({ ...createNode({ binary, dir: join(folder, String(index)), port, lines }), busPort })
  }
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

  const close = () => removeNodes(nodes, folder)
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
