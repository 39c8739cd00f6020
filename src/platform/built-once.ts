import type { Db } from './db'

/**
 * A statement that is asked all day, built once for each `db` and each combination of `args`: building takes Drizzle longer than answering takes
 * PostgreSQL. A transaction is a `db` of its own, so nothing is gained in one.
 */
export function builtOnce<Args extends (string | boolean)[], T>(build: (db: Db, ...args: Args) => T): (db: Db, ...args: Args) => T {
  const built = new WeakMap<Db, Map<string, T>>()
  return (db, ...args) => {
    const key = args.join()
    const known = built.get(db)?.get(key)
    if (known !== undefined) return known
    const statement = build(db, ...args)
    built.set(db, (built.get(db) ?? new Map<string, T>()).set(key, statement))
    return statement
  }
}
