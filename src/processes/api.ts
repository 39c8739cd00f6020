import { createApp } from '~/app'
import type { Config } from '~/config'
import { systemClock } from '~/platform/clock'
import type { Log } from '~/platform/log'
import { instanceName, onStop, signalReady } from './child'
import { createServices } from './services'
import { by, msUntil, stopTimes } from './stop-times'

/** Elsewhere the worker process looks after abandoned runs; this is for when there is none. */
const RECOVER_EVERY_MS = 2000
/** For telling those who still listen that they are cut off. */
const LAST_WORDS_MS = 250

/** One API process: opens what it needs, listens on the shared port, and takes it all down in reverse. */
export async function runApi(config: Config, { log }: { log: Log }) {
  const services = createServices(config, { log, owner: instanceName(), recoverEveryMs: RECOVER_EVERY_MS })
  const { health, runner, stores } = services
  const app = createHttp(config, services, log)
  app.listen({ port: config.port, hostname: config.host, reusePort: true })
  onStop(async (reason) => {
    const times = stopTimes(config, reason)
    health.drain()
    await systemClock.sleep(msUntil(times.drained))
    // First: a server that stops waits for its sockets.
    services.sockets.drain()
    const settled = Promise.all([app.server?.stop(), runner.stop(msUntil(times.runsLeft))])
    await by(times.cut, settled)
    services.interrupt()
    await by(times.cut + LAST_WORDS_MS, settled)
    await app.server?.stop(true)
    await by(times.closed, services.close())
  })
  await stores.redis.ready(2000)
  signalReady()
}

/** The HTTP surface on top of the services, without its port. */
export const createHttp = (config: Config, services: ReturnType<typeof createServices>, log: Log) =>
  createApp({
    ...services,
    log,
    settings: {
      apiUrl: config.apiUrl,
      about: config.about,
      corsOrigins: config.corsOrigins,
      gate: {
        allowedHosts: config.allowedHosts,
        allowAddresses: !config.production,
        trustedProxies: config.trustedProxies,
        maxBodyBytes: config.limits.bodyBytes,
        uploads: { paths: /^\/api\/v1\/(chat\/|a2a\/|agents\/(import|[^/]+\/runs\b))/, maxBytes: config.limits.uploadBytes },
      },
      tenantScopes: config.database.rls === 'enforce',
      passwordMinLength: config.access.passwordMinLength,
      metricsToken: config.metricsToken,
      mailboxPage: !config.production && config.email.provider === 'mailbox',
    },
  })
