import { createHmac } from 'node:crypto'
import { and, eq, ne, type SQL, sql } from 'drizzle-orm'
import { attemptCounters as counters } from './attempts-table'
import type { Db } from './db'
import { DomainError } from './errors'
import { networkOf } from './network'

export interface Tries {
  /** What is guessed at: an account by its address, a person's second factor. */
  subject: string
  /** Where the guess comes from. */
  address: string
  /** Failures from all networks together that the subject bears, those excepted from which it was a success before. */
  everywhere?: number
}

export interface Attempts {
  /**
   * Makes a guess, if the subject has a try left from that network and altogether. The try is taken before the guess, in one atomic statement: of any
   * number of parallel guesses no more than the allowed ones run. A success clears the counters and makes the network a known one: it then keeps a
   * counter of its own, so that strangers cannot lock out those who belong there.
   * `isLast`: the guess failed and was the last one, so that this is the one moment to tell the owner.
   * @throws DomainError `too-many-attempts`, and what the guess throws: then it does not count
   */
  guess(tries: Tries, isRight: () => Promise<boolean>): Promise<{ right: boolean; isLast: boolean }>
  /** Whether something may be done once more: `max` times within so many seconds of the first time. The reserve is taken in the caller's transaction. */
  spend(db: Db, subject: string, limit: { max: number; seconds: number }): Promise<boolean>
  /** Gives the subject all its tries back. The networks stay known. */
  unlock(db: Db, subject: string): Promise<void>
}

const EVERYWHERE = '*'
const MAX_EVERYWHERE = 100
const KNOWN_FOR = sql`interval '90 days'`
const PRUNE_EVERY_MS = 600_000
const PRUNE_BATCH = 1000

/** Counts in PostgreSQL, by its clock, so that the limits hold on all replicas together and whatever becomes of Redis. */
export function createAttempts({ db, key, max, windowSeconds }: { db: Db; key: Buffer; max: number; windowSeconds: number }): Attempts {
  const nameOf = (subject: string) => createHmac('sha256', key).update(`attempts:${subject}`).digest()
  const window = sql`clock_timestamp() + ${windowSeconds} * interval '1 second'`
  let prunedAt = performance.now()

  /**
   * The number of this try from the network, and altogether, in one statement whatever comes of it: its time tells nothing. No row: none is left there.
   * No number altogether, though the network is none of the owner's: none is left for strangers. Locks the network's row first, as everything here.
   */
  const take = async (subject: Buffer, network: string, everywhere: number) => {
    const [row] = await db.execute<{ here: number; is_known: boolean; altogether: number | null }>(sql`
      with here as (
        insert into ${counters} (subject, network, count, expires_at) values (${subject}, ${network}, 1, ${window})
        on conflict (subject, network) do update set count = ${nextCount}, expires_at = excluded.expires_at
        where ${isOver} or ${counters.count} < ${max}
        returning count, coalesce(succeeded_at > now() - ${KNOWN_FOR}, false) as is_known
      ), altogether as (
        insert into ${counters} (subject, network, count, expires_at)
        select ${subject}::bytea, ${EVERYWHERE}::text, 1, ${window} from here where not is_known
        on conflict (subject, network) do update set count = ${nextCount}, expires_at = excluded.expires_at
        where ${isOver} or ${counters.count} < ${everywhere}
        returning count
      )
      select here.count as here, here.is_known, altogether.count as altogether from here left join altogether on true`)
    return row
  }

  /** One row a statement: two at once would be locked in an order of the planner's choice. */
  const set = async (subject: Buffer, networks: string[], change: { count: SQL | number; succeededAt?: SQL }) => {
    for (const network of networks)
      await db
        .update(counters)
        .set(change)
        .where(and(eq(counters.subject, subject), eq(counters.network, network)))
  }

  const refusal = async (subject: Buffer, network: string) => {
    const [row] = await db
      .select({ seconds: sql<number>`extract(epoch from ${counters.expiresAt} - clock_timestamp())::float8` })
      .from(counters)
      .where(and(eq(counters.subject, subject), eq(counters.network, network)))
    return new DomainError('too-many-attempts', 'Too many failed attempts. Try again later.', {
      retryAfterSeconds: Math.max(1, Math.ceil(row?.seconds ?? 1)),
    })
  }

  /** Now and then, since guesses at names that nobody has leave rows behind. */
  const prune = async () => {
    if (performance.now() - prunedAt < PRUNE_EVERY_MS) return
    prunedAt = performance.now()
    await db.delete(counters).where(
      sql`(${counters.subject}, ${counters.network}) in (
        select subject, network from attempt_counters
        where expires_at < now() and (succeeded_at is null or succeeded_at < now() - ${KNOWN_FOR})
        limit ${PRUNE_BATCH} for update skip locked
      )`,
    )
  }

  return {
    async guess({ subject: name, address, everywhere = MAX_EVERYWHERE }, isRight) {
      await prune()
      const [subject, network] = [nameOf(name), networkOf(address)]
      const taken = await take(subject, network, everywhere)
      if (taken === undefined) throw await refusal(subject, network)
      const { here, altogether, is_known: isKnown } = taken
      if (!isKnown && altogether === null) {
        await set(subject, [network], fewer)
        throw await refusal(subject, EVERYWHERE)
      }
      const counted = isKnown ? [network] : [network, EVERYWHERE]
      let right: boolean
      try {
        right = await isRight()
      } catch (error) {
        await set(subject, counted, fewer)
        throw error
      }
      if (!right) return { right, isLast: here === max || altogether === everywhere }
      await set(subject, [network], { count: 0, succeededAt: sql`clock_timestamp()` })
      if (!isKnown) await set(subject, [EVERYWHERE], { count: 0 })
      return { right, isLast: false }
    },

    async spend(tx, subject, { max: limit, seconds }) {
      const ends = sql`clock_timestamp() + ${seconds} * interval '1 second'`
      const [row] = await tx
        .insert(counters)
        .values({ subject: nameOf(subject), network: EVERYWHERE, count: 1, expiresAt: ends })
        .onConflictDoUpdate({
          target: [counters.subject, counters.network],
          set: {
            count: nextCount,
            expiresAt: sql`case when ${isOver} then ${ends} else ${counters.expiresAt} end`,
          },
          setWhere: sql`${isOver} or ${counters.count} < ${limit}`,
        })
        .returning({ count: counters.count })
      return row !== undefined
    },

    async unlock(tx, subject) {
      for (const network of [ne(counters.network, EVERYWHERE), eq(counters.network, EVERYWHERE)])
        await tx
          .update(counters)
          .set({ count: 0 })
          .where(and(eq(counters.subject, nameOf(subject)), network))
    },
  }
}

const isOver = sql`${counters.expiresAt} <= clock_timestamp()`
const nextCount = sql`case when ${isOver} then 1 else ${counters.count} + 1 end`
const fewer = { count: sql`greatest(${counters.count} - 1, 0)` }
