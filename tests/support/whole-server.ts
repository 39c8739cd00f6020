import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLog } from '~/platform/log'
import { embeddedRedisUrl } from '~/processes/embedded-redis'
import { findRedis } from '~/processes/find-redis'
import type { Launched } from '~/processes/launched'
import { findFreePort } from '~/processes/ports'
import { startServer } from '../start/running-server'
import { bringUpRedis } from './redis'
import { services } from './services'
import { TcpProxy } from './tcp-proxy'

export type WholeServer = Awaited<ReturnType<typeof startWholeServer>>

/** A server as it is deployed (supervisor, two API processes, a worker), its PostgreSQL behind a proxy and its Redis its own. The caller closes it. */
export async function startWholeServer({
  databaseUrl = services.databaseUrl,
  env = {},
}: {
  databaseUrl?: string
  env?: Record<string, string>
} = {}) {
  const place = await startPlace(databaseUrl)
  const server = startServer({ ...place.env, ...env })
  const close = async () => {
    place.proxy.fault = 'none'
    if (server.processes().length > 0) server.kill('SIGTERM')
    await server.exited()
    await place.close()
  }
  try {
    await server.ready()
  } catch (error) {
    await close()
    throw error
  }
  return { ...place, server, url: server.url(), close }
}

/** What such a server stands on, and the environment that names it. */
export async function startPlace(databaseUrl = services.databaseUrl) {
  const folder = mkdtempSync(join(tmpdir(), 'evo-whole-'))
  const redis = await startOwnRedis(join(folder, 'redis'))
  const target = new URL(databaseUrl)
  const proxy = await TcpProxy.start({ host: target.hostname, port: Number(target.port || 5432) })
  const proxied = new URL(databaseUrl)
  Object.assign(proxied, { hostname: '127.0.0.1', port: `${proxy.port}` })
  return {
    redis,
    proxy,
    env: {
      EVO_DATA_DIR: join(folder, 'data'),
      DATABASE_URL: proxied.href,
      REDIS_URL: redis.url,
      EVO_API_PROCESSES: '2',
      BCRYPT_COST: '4',
      EMAIL_PROVIDER: 'mailbox',
      RATE_SIGN_IN_PER_MINUTE: '100000',
      RATE_REFUSED_PER_MINUTE: '100000',
      RATE_REQUESTS_PER_MINUTE: '1000000',
      RATE_CHATS_PER_MINUTE: '100000',
    },
    async close() {
      await proxy.refuse()
      await redis.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A redis-server that keeps its data over a kill. */
async function startOwnRedis(dataDir: string) {
  const options = { dataDir, port: await findFreePort(), password: 'only-for-tests', persistent: true }
  const binary = await findRedis({ mayInstall: !process.env.EVO_NO_INSTALL, log: silentLog })
  let process_: Launched
  const redis = {
    url: embeddedRedisUrl(options),
    async start() {
      process_ = await bringUpRedis({ ...options, binary })
    },
    async kill() {
      process_.kill('SIGKILL')
      await process_.exited
    },
    /** The server and its keeper are one process group. */
    freeze: () => void process.kill(-process_.pid, 'SIGSTOP'),
    thaw: () => void process.kill(-process_.pid, 'SIGCONT'),
    async stop() {
      await redis.kill()
    },
  }
  await redis.start()
  return redis
}
