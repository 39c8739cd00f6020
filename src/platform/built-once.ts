import type { SQL } from 'drizzle-orm'
import { type Db, onDb, prepareSql } from './db'

/**
 * A statement that is asked all day, built once for each combination of `args`, of which there must be few: building takes Drizzle longer than
 * answering takes PostgreSQL. Values come in through `sql.placeholder`. It serves the pool and every transaction.
 */
export function builtOnce<Args extends (string | boolean)[], T extends object>(
  build: (db: Db, ...args: Args) => T,
): (db: Db, ...args: Args) => T {
  const built = new Map<string, T>()
  return (db, ...args) => {
    const key = args.join()
    let statement = built.get(key)
    if (statement === undefined) {
      statement = build(db, ...args)
      built.set(key, statement)
    }
    return onDb(statement, db)
  }
}

/** The same for a statement in plain SQL. Sent when called; a value that is an object must be JSON text already. */
export function sqlOnce<Row extends object>(build: () => SQL): (db: Db, values: Record<string, unknown>) => Promise<Row[]> {
  let built: ReturnType<typeof prepareSql> | undefined
  return (db, values) => {
    built ??= prepareSql(build())
    // The statement says what its rows are, which its text cannot.
    return onDb(built, db).execute(values) as Promise<object[]> as Promise<Row[]>
  }
}
