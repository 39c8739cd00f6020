import { loadConfig } from './config'
import { createLog } from './platform/log'
import { behaveAsChild, failToStart, instanceName, permissionToStart } from './processes/child'

/** The one entry: without EVO_CHILD the supervisor, which runs this file again for each process of the server. */
const child = process.env.EVO_CHILD
if (child === undefined) {
  const { runSupervisor } = await import('./processes/supervisor')
  const { prepare, freeLeases } = await import('./processes/prepare')
  process.exit(await runSupervisor(process.env, { prepare, onChildExit: freeLeases }))
} else {
  const config = loadConfig(process.env)
  const level = config.debug ? 'debug' : config.logLevel
  const log = createLog({ level, pretty: process.stdout.isTTY === true }).with({ process: instanceName() })
  behaveAsChild({ log })
  const mayStart = permissionToStart()
  const run = await loadChild(child)
  try {
    if (child !== 'postgres') await mayStart
    await run()
  } catch (error) {
    log.error('cannot start', { error })
    failToStart(error)
  }

  async function loadChild(kind: string): Promise<() => Promise<unknown>> {
    if (kind === 'api') {
      const { runApi } = await import('./processes/api')
      return () => runApi(config, { log })
    }
    if (kind === 'worker') {
      const { runWorker } = await import('./processes/worker')
      return () => runWorker(config, { log })
    }
    if (kind === 'runner') {
      const { runRunner } = await import('./processes/runner')
      return () => runRunner(config, { log })
    }
    if (kind === 'postgres') {
      const { runPostgres } = await import('./processes/embedded-postgres')
      return () => runPostgres({ log })
    }
    throw new Error(`EVO_CHILD=${kind} is unknown`)
  }
}
