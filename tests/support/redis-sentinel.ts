import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findFreePort } from '~/processes/ports'
import { createNode, HOST, PASSWORD, removeNodes } from './redis-node'
import { until } from './until'

export const MASTER = 'tests'

export type SentinelGroup = Awaited<ReturnType<typeof startSentinelGroup>>

/** A master, its replica, and a Sentinel that takes the master for dead after a second. The caller closes it. */
export async function startSentinelGroup(binary: string) {
  const folder = mkdtempSync(join(tmpdir(), 'evo-redis-sentinel-'))
  const [first, second, third] = [await findFreePort(), await findFreePort(), await findFreePort()]
  const ofServers = [`masterauth ${PASSWORD}`, 'save ""', 'repl-diskless-sync-delay 0']
  const server = (port: number, lines: string[]) =>
    createNode({ binary, dir: join(folder, String(port)), port, lines: [...ofServers, ...lines] })
  const servers = [server(first, []), server(second, [`replicaof ${HOST} ${first}`])] as const
  const ofSentinel = [
    `sentinel monitor ${MASTER} ${HOST} ${first} 1`,
    `sentinel auth-pass ${MASTER} ${PASSWORD}`,
    `sentinel down-after-milliseconds ${MASTER} 1000`,
    `sentinel failover-timeout ${MASTER} 2000`,
  ]
  const sentinel = createNode({ binary, dir: join(folder, String(third)), port: third, lines: ofSentinel, isSentinel: true })
  const all = [...servers, sentinel]
  for (const node of servers) node.start()

  const close = () => removeNodes(all, folder)
  try {
    // In step: a Sentinel looks only every ten seconds.
    await until(async () => JSON.stringify(await servers[1].admin.role().catch(() => '')).includes('"connected"'), 20_000)
    sentinel.start()
    // It sees a replica that could take the master's place.
    await until(async () => {
      const replicas = await sentinel.admin.call('SENTINEL', 'REPLICAS', MASTER).catch(() => [])
      return JSON.stringify(replicas).includes('"master-link-status","ok"')
    }, 20_000)
  } catch (error) {
    close()
    throw error
  }
  return {
    /** The first is nobody. */
    urls: `redis://:${PASSWORD}@${HOST}:1/3,redis://${HOST}:${third}`,
    password: PASSWORD,
    async master() {
      const [, port] = (await sentinel.admin.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', MASTER)) as string[]
      const found = servers.find((one) => String(one.port) === port)
      if (found === undefined) throw new Error(`nobody has port ${port}`)
      return found
    },
    close,
  }
}
