import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '~/platform/log'
import { onStop, signalReady, stopLast } from './child'
import { type Launched, launchChild, newInstance } from './launched'
import { takeLock } from './lock-file'
import { openEngine } from './pglite/engine'
import { startWireServer } from './pglite/wire-server'

export interface EmbeddedPostgres {
  /** Made when absent; only one process at a time can have it. */
  dataDir: string
  port: number
  password: string
  /** Deleted when the process ends, however its parent ended; for tests. */
  disposable?: string
}

export const embeddedPostgresUrl = ({ port, password }: { port: number; password: string }) =>
  `postgres://postgres:${password}@127.0.0.1:${port}/postgres`

/** Starts the process that hosts PGlite. `env` is what it inherits. */
export const launchPostgres = (options: EmbeddedPostgres, env: Record<string, string | undefined>): Launched =>
  launchChild({ kind: 'postgres', instance: newInstance('postgres'), env: { ...env, EVO_POSTGRES: JSON.stringify(options) } })

/** The process itself: one PGlite behind a socket, apart from the API so that neither's work nor memory is the other's. */
export async function runPostgres({ log }: { log: Log }) {
  const { dataDir, port, password, disposable } = JSON.parse(process.env.EVO_POSTGRES ?? '{}') as EmbeddedPostgres // launchPostgres wrote it
  stopLast()
  if (disposable) process.on('exit', () => rmSync(disposable, { recursive: true, force: true }))
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const lock = takeLock(`${dataDir}.lock`, PREDECESSOR_MS)
  if (!lock) throw new Error(`another process has ${dataDir} open`)

  const engine = await openOrMake(dataDir)
  const server = await startWireServer({ engine, port, password, log })
  onStop(async () => {
    server.stop()
    await engine.close()
    lock.release()
  })
  signalReady()
}

/** A predecessor that was orphaned finishes its statement before it notices. */
const PREDECESSOR_MS = 15_000

/** A directory whose making was interrupted holds nothing that anybody was told is stored, and is made again. */
async function openOrMake(dataDir: string) {
  const unfinished = `${dataDir}.unfinished`
  if (existsSync(unfinished)) rmSync(dataDir, { recursive: true, force: true })
  if (existsSync(join(dataDir, 'PG_VERSION'))) return openEngine(dataDir)
  writeFileSync(unfinished, '')
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const engine = await openEngine(dataDir)
  rmSync(unfinished)
  // Making it took 900 MB, in a second engine that only the collector frees.
  for (const delayMs of [1000, 3000]) setTimeout(() => Bun.gc(true), delayMs)
  return engine
}
