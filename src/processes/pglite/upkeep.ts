import type { Log } from '~/platform/log'
import type { Turns } from './turns'

const MIB = 1024 * 1024
const CHECK_EVERY_MS = 5000
/** A moment without work; past `…ForceBytes` the upkeep no longer waits for one. */
const QUIET_MS = 500
const CHECKPOINT_BYTES = 16 * MIB
const CHECKPOINT_FORCE_BYTES = 64 * MIB
const VACUUM_BYTES = 64 * MIB
const VACUUM_FORCE_BYTES = 512 * MIB

/**
 * A single PostgreSQL session has neither checkpointer nor autovacuum: without this the write-ahead log and the dead rows would grow for ever.
 * Measures work by the write-ahead log. A checkpoint takes 5 to 100 ms, a vacuum of 200,000 rows 0.8 s; both hold everybody up, so they wait for
 * a quiet moment as long as they can. Returns how to stop it.
 */
export function startUpkeep({ turns, log }: { turns: Turns; log: Log }): () => void {
  let checkpointAt = writtenBytes(turns) ?? 0
  let vacuumAt = checkpointAt

  const check = () => {
    try {
      const written = writtenBytes(turns)
      if (written === undefined) return
      const quiet = turns.idleMs() >= QUIET_MS
      if (written - vacuumAt > (quiet ? VACUUM_BYTES : VACUUM_FORCE_BYTES)) {
        timed('vacuum (analyze)')
        vacuumAt = written
      }
      if (written - checkpointAt > (quiet ? CHECKPOINT_BYTES : CHECKPOINT_FORCE_BYTES)) {
        timed('checkpoint')
        checkpointAt = written
      }
    } catch (error) {
      log.error('upkeep of the embedded database failed', { error })
    }
  }

  const timed = (sql: string) => {
    const from = performance.now()
    turns.runOwn(sql)
    log.debug('upkeep of the embedded database', { sql, ms: Math.round(performance.now() - from) })
  }

  const timer = setInterval(check, CHECK_EVERY_MS)
  return () => clearInterval(timer)
}

/** Undefined while somebody holds the session. */
const writtenBytes = (turns: Turns) => {
  const rows = turns.runOwn(`select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')`)
  return rows && Number(rows[0]?.[0])
}
