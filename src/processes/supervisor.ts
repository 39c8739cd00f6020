import { type Config, ConfigError, loadConfig } from '~/config'
import { systemClock } from '~/platform/clock'
import { createLog, type Log, redactText } from '~/platform/log'
import { unlessAborted } from '~/platform/unless-aborted'
import { banner } from './banner'
import { startEmbeddedServices } from './embedded-services'
import { createFamily, type Family } from './family'
import { keepRunning } from './keep-running'
import { launchChild, newInstance } from './launched'
import { withRunner } from './own-runner'
import { findFreePort, portFault } from './ports'
import { reachPostgres } from './reach-postgres'
import { StartError } from './start-error'

type Env = Record<string, string | undefined>

export interface SupervisorSteps {
  /** Migrates the database and creates the first admin, whose generated password it returns. */
  prepare(config: Config, log: Log): Promise<{ adminPassword?: string }>
  /** An API or worker process is dead: what it had leased is free. */
  onChildExit?(instance: string, config: Config): Promise<void>
}

/**
 * Runs the server until it is told to stop: embedded services where no URL is given, the database's preparation, then the API and worker
 * processes, restarted whenever they end. SIGTERM, SIGINT and SIGHUP stop everything in order, a second one at once. Leaves no process behind.
 * Returns the exit code.
 */
export async function runSupervisor(env: Env, steps: SupervisorSteps): Promise<number> {
  const stopping = new AbortController()
  const family = createFamily()
  const server: Server = { family, stopping: stopping.signal, steps, graceMs: 0 }
  const onSignal = () => {
    if (!stopping.signal.aborted) return stopping.abort(ASKED)
    family.killAll()
    process.exit(1)
  }
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, onSignal)
  // What was under way when the services ended may fail late, and nobody is left to hear it.
  const onFault = (error: unknown) => {
    if (!stopping.signal.aborted) stopping.abort(error)
  }
  for (const event of ['uncaughtException', 'unhandledRejection']) process.on(event, onFault)

  try {
    await start(server, env)
    await unlessAborted(stopping.signal, new Promise<never>(() => undefined))
    return 0
  } catch (error) {
    if (error === ASKED) return 0
    const expected = error instanceof StartError || error instanceof ConfigError
    process.stderr.write(expected ? `Cannot start: ${oneLine(error.message)}\n` : `${redactText(Bun.inspect(error))}\n`)
    if (expected) server.graceMs = 0
    return 1
  } finally {
    await family.stop(server.graceMs)
    server.release?.()
  }
}

/** The reason of an orderly stop. */
const ASKED = new Error('asked to stop')

/** What start() needs and fills, so that whatever it got to can be ended. */
interface Server {
  family: Family
  stopping: AbortSignal
  steps: SupervisorSteps
  graceMs: number
  release?(): void
}

async function start(server: Server, env: Env) {
  const lap = stopwatch()
  const { family, stopping } = server
  const port = env.PORT?.trim() === '0' ? String(await findFreePort()) : env.PORT
  const given = loadConfig({ ...env, PORT: port })
  const log = supervisorLog(given)
  server.graceMs = given.shutdownGraceSeconds * 1000
  if (given.role !== 'worker') await demandPort(given, stopping)

  const services = await startEmbeddedServices({ config: given, env: { ...env, PORT: port }, family, log })
  server.release = services.release
  const config = loadConfig(services.env)
  const { env: shared, runnerEnv } = await withRunner(config, services.env)
  // They load their modules while the services start, and wait for our word.
  for (const name of childNames(config)) addChild(server, { name, env: shared, config, log })
  const serving = [...family.children]
  if (runnerEnv !== undefined) addChild(server, { name: 'runner', env: runnerEnv, config, log })

  await unlessAborted(stopping, services.ready)
  if (config.production && config.role !== 'runner') {
    // Its client takes a while to load, and a start in development does without.
    const { demandLastingRedis } = await import('./lasting-redis')
    await unlessAborted(stopping, demandLastingRedis(config, log))
  }
  const services_ms = lap()
  let adminPassword: string | undefined
  if (config.role === 'runner') serving.push(...family.children)
  else if (config.role === 'all') ({ adminPassword } = await unlessAborted(stopping, keepPreparing(server, config, log)))
  else {
    const prepared = keepPreparing(server, config, log).then((first) => {
      if (first.adminPassword !== undefined)
        process.stdout.write(`First admin: ${config.access.adminEmail}, password ${first.adminPassword}\n`)
    })
    // An API has something to say meanwhile: that it is not ready. A worker without tables has nothing to do.
    if (config.role === 'worker') await unlessAborted(stopping, prepared)
  }
  const prepare_ms = lap()
  for (const child of family.children) child.start()
  // Agents without commands need no runner: nobody waits for it.
  await unlessAborted(stopping, Promise.all(serving.map(({ firstReady }) => firstReady)))

  const children_ms = lap()
  const seconds = performance.now() / 1000
  log.info('ready', { url: config.apiUrl, role: config.role, seconds: Number(seconds.toFixed(2)), services_ms, prepare_ms, children_ms })
  if (config.role === 'all') process.stdout.write(banner({ config, given, adminPassword, seconds }))
}

/** Each call returns the milliseconds since the one before. */
function stopwatch() {
  let since = performance.now()
  return () => {
    const ms = Math.round(performance.now() - since)
    since += ms
    return ms
  }
}

const supervisorLog = ({ debug, logLevel }: Config) =>
  createLog({ level: debug ? 'debug' : logLevel, pretty: process.stdout.isTTY === true }).with({ process: 'supervisor' })

/** Longer than the processes of a killed supervisor need to end (child.ts). */
const PORT_WAIT_MS = 2500

async function demandPort({ host, port }: Config, signal: AbortSignal) {
  const deadline = systemClock.now() + PORT_WAIT_MS
  for (;;) {
    const fault = await portFault(host, port)
    if (!fault) return
    if (!fault.passes || systemClock.now() > deadline) throw new StartError(`${host}:${port} ${fault.text} (HOST, PORT)`)
    await systemClock.sleep(100, signal)
  }
}

const childNames = ({ role, apiProcesses }: Config) => [
  ...(role === 'worker' || role === 'runner' ? [] : Array.from({ length: apiProcesses }, (_, index) => `api-${index + 1}`)),
  ...(role === 'api' || role === 'runner' ? [] : ['worker']),
]

function addChild({ family, steps }: Server, { name, env, config, log }: { name: string; env: Env; config: Config; log: Log }) {
  const kind = name === 'worker' || name === 'runner' ? name : 'api'
  const launch = () => launchChild({ kind, instance: newInstance(name), env })
  const onExit = async (instance: string) => (kind === 'runner' ? undefined : steps.onChildExit?.(instance, config))
  family.add('children', () => keepRunning({ name, launch, onExit, clock: systemClock, log }))
}

/** How long the database may take to answer before a start is given up. */
const REACH_MS = 5000

async function prepare({ steps }: Server, config: Config, log: Log) {
  await reachPostgres(config.database.url ?? '', REACH_MS)
  try {
    return await steps.prepare(config, log)
  } catch (error) {
    throw new StartError(`the database could not be prepared: ${error instanceof Error ? error.message : error}`, { cause: error })
  }
}

const MAX_PAUSE_MS = 10_000

/**
 * In a container of its own a process waits for its database, unready, as long as it takes; all in one, only for a database that answers, and will
 * take changes when it has started or become the primary. Settles when that is prepared, or at a stop.
 */
async function keepPreparing(server: Server, config: Config, log: Log): ReturnType<typeof prepare> {
  for (let attempt = 1; !server.stopping.aborted; attempt++) {
    try {
      return await prepare(server, config, log)
    } catch (error) {
      if (config.role === 'all' && !(await isPassing(error))) throw error
      log.warn('the database is not ready yet', { attempt, reason: error instanceof Error ? oneLine(error.message) : String(error) })
      const pauseMs = Math.min(MAX_PAUSE_MS, 250 * 2 ** attempt) * (0.5 + Math.random() / 2)
      await systemClock.sleep(pauseMs, server.stopping).catch(() => undefined) // aborted: the loop ends
    }
  }
  return {}
}

/** What tells is loaded with the stores' clients, which a start that succeeds does without. */
async function isPassing(error: unknown): Promise<boolean> {
  const failures = await import('~/platform/passing-failure')
  return failures.isPassing(error)
}

/** Drivers quote URLs with their passwords, and break lines. */
const oneLine = (text: string) => redactText(text).replace(/\s*\n\s*/g, ' ')
