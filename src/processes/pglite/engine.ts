import { PGlite } from '@electric-sql/pglite'
import { query, readErrorMessage, readRows } from './messages'

/** The one session of the one PostgreSQL inside this process. Everything here is synchronous: while it works, nothing else runs. */
export interface Engine {
  /** Feeds frontend messages to the session and returns all that it answers. */
  run(messages: Uint8Array): Buffer
  /** Rows of text columns. @throws when the statement fails. */
  rows(sql: string): (string | null)[][]
  /** Whether a transaction block is open, a failed one included. */
  inTransaction(): boolean
  /** Writes a shutdown checkpoint. */
  close(): Promise<void>
}

/**
 * What differs from PGlite's own defaults. PostgreSQL's 128 MiB of shared buffers would only copy what the kernel caches anyway: 16 MiB saves
 * 130 MB of memory and a fifth of the start. A small WAL is enough for checkpoints at 16 MiB (upkeep.ts).
 */
const SETTINGS = ['shared_buffers=16MB', 'max_wal_size=64MB', 'min_wal_size=32MB']

/**
 * Opens the data directory, or makes it (4 s). A commit has reached the kernel before it is answered, so it survives the death of every
 * process; PGlite has no fsync, so it need not survive a power failure. Nobody else may have the directory open.
 */
export async function openEngine(dataDir: string): Promise<Engine> {
  const complaints: string[] = []
  const startParams = [...PGlite.defaultStartParams, ...SETTINGS.flatMap((setting) => ['-c', setting])]
  const onStderr = (line: string) => {
    if (complaints.push(line) > 20) complaints.shift()
    return false
  }
  const db = await PGlite.create(dataDir, { startParams, onStderr }).catch((error: unknown) => {
    const said = complaints.filter((line) => /FATAL|ERROR|PANIC|HINT/.test(line)).join(' ')
    throw new Error(`${said || String(error)} (data directory ${dataDir})`, { cause: error })
  })
  return wrap(db)
}

function wrap(db: PGlite): Engine {
  const run = (messages: Uint8Array) => {
    const answer: Buffer[] = []
    // The promise only covers a virtual file system's own sync; on a disk all is done when the call returns. Its rejection means that the
    // engine is broken: unhandled, it ends this process, and the supervisor starts another.
    void db.execProtocolRawStream(messages, { syncToFs: false, onRawData: (bytes) => answer.push(Buffer.from(bytes)) })
    return answer.length === 1 && answer[0] ? answer[0] : Buffer.concat(answer)
  }
  return {
    run,
    rows(sql) {
      const answer = run(query(sql))
      const rows = readRows(answer)
      if (!rows) throw new Error(readErrorMessage(answer) ?? 'no answer')
      return rows
    },
    inTransaction: () => db.isInTransaction(),
    close: () => db.close(),
  }
}
