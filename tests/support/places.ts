import { sql } from 'drizzle-orm'
import type { TestApp } from './start-app'

/** Where these words stand: all tables and all of Redis, as text. */
export async function placesIn(app: TestApp, words: string[]): Promise<string[]> {
  const { db, stores } = app.services
  const tables = await db.execute<{ name: string }>(
    sql`select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition`,
  )
  const found: string[] = []
  const holds = (place: string, text: string) =>
    found.push(...words.filter((word) => text.includes(word)).map((word) => `${place}: ${word}`))
  for (const { name } of tables) {
    const [row] = await db.execute<{ text: string | null }>(sql`select string_agg(t::text, ' ') as text from ${sql.identifier(name)} t`)
    holds(name, row?.text ?? '')
  }
  const keys = await stores.redis.run((client) => client.keys('*'))
  for (const key of keys) {
    holds(key, key)
    const type = await stores.redis.run((client) => client.type(key))
    if (type === 'stream') holds(key, JSON.stringify(await stores.redis.run((client) => client.xrange(key, '-', '+'))))
    if (type === 'string') holds(key, (await stores.redis.run((client) => client.get(key))) ?? '')
    if (type === 'hash') holds(key, JSON.stringify(await stores.redis.run((client) => client.hgetall(key))))
  }
  return found
}
