import { findPostgresPrograms, startNativePostgres } from './native-postgres'
import { services } from './services'

export interface SideBySide {
  /** Where nothing fits, the database of the other tests, for what is not skipped. */
  databaseUrl: string
  /** False where PostgreSQL is not installed: the tests that need it are to be skipped. */
  isPossible: boolean
  /** The server is our own: it goes with `stop`. */
  stop(): Promise<void>
}

/** A database whose sessions run side by side, where one may wait for another: the native server that was given, or our own. `what` is told if there is none. */
export async function startSideBySide(what: string): Promise<SideBySide> {
  const isPossible = services.kind === 'native' || findPostgresPrograms() !== undefined
  const own = services.kind === 'pglite' && isPossible ? await startNativePostgres() : undefined
  if (!isPossible) console.warn(`PostgreSQL is not installed: ${what} is skipped`)
  return { databaseUrl: own?.url ?? services.databaseUrl, isPossible, stop: async () => own?.stop() }
}
