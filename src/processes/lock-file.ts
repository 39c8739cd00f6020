import { Database } from 'bun:sqlite'

/**
 * Takes the lock that `path` stands for, or returns undefined after `waitMs` when another process has it. The kernel holds it for the process
 * (a lock of SQLite on an empty database), so it is free the moment that its holder dies, however it dies, and no pid can be mistaken for
 * another's, not even between containers that share the folder.
 */
export function takeLock(path: string, waitMs: number): { release(): void } | undefined {
  const database = new Database(path)
  try {
    database.run(`pragma busy_timeout = ${waitMs}`)
    database.run('pragma journal_mode = memory')
    database.run('begin exclusive')
    held.add(database)
    return {
      release() {
        held.delete(database)
        database.close()
      },
    }
  } catch (error) {
    database.close()
    if (error instanceof Error && 'code' in error && error.code === 'SQLITE_BUSY') return undefined
    throw error
  }
}

/** The collector closes a database that nobody refers to, and its lock with it. */
const held = new Set<Database>()
