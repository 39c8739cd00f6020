import { createHmac } from 'node:crypto'
import { and, eq, inArray, sql } from 'drizzle-orm'
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

  /** The number of this try and whether it comes from a known network; undefined when none is left. */
  const take = async (subject: Buffer, network: string, limit: number) => {
    const [row] = await db
      .insert(counters)
      .values({ subject, network, count: 1, expiresAt: window })
      .onConflictDoUpdate({
        target: [counters.subject, counters.network],
        set: { count: sql`case when ${isOver} then 1 else ${counters.count} + 1 end`, expiresAt: window },
        setWhere: sql`${isOver} or ${counters.count} < ${limit}`,
      })
      .returning({ count: counters.count, isKnown: sql<boolean>`coalesce(${counters.succeededAt} > now() - ${KNOWN_FOR}, false)` })
    return row
  }

  const giveBack = (subject: Buffer, networks: string[]) =>
    db
      .update(counters)
      .set({ count: sql`greatest(${counters.count} - 1, 0)` })
      .where(and(eq(counters.subject, subject), inArray(counters.network, networks)))

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
      const taken = [network]
      const here = await take(subject, network, max)
      if (here === undefined) throw await refusal(subject, network)
      let altogether: { count: number } | undefined
      try {
        if (!here.isKnown) {
          altogether = await take(subject, EVERYWHERE, everywhere)
          if (altogether === undefined) throw await refusal(subject, EVERYWHERE)
          taken.push(EVERYWHERE)
        }
        const right = await isRight()
        if (!right) return { right, isLast: here.count === max || altogether?.count === everywhere }
      } catch (error) {
        await giveBack(subject, taken)
        throw error
      }
      await db
        .update(counters)
        .set({
          count: 0,
          succeededAt: sql`case when ${counters.network} = ${EVERYWHERE} then null else clock_timestamp() end`,
        })
        .where(and(eq(counters.subject, subject), inArray(counters.network, [network, EVERYWHERE])))
      return { right: true, isLast: false }
    },

    async spend(tx, subject, { max: limit, seconds }) {
      const ends = sql`clock_timestamp() + ${seconds} * interval '1 second'`
      const [row] = await tx
        .insert(counters)
        .values({ subject: nameOf(subject), network: EVERYWHERE, count: 1, expiresAt: ends })
        .onConflictDoUpdate({
          target: [counters.subject, counters.network],
          set: {
            count: sql`case when ${isOver} then 1 else ${counters.count} + 1 end`,
            expiresAt: sql`case when ${isOver} then ${ends} else ${counters.expiresAt} end`,
          },
          setWhere: sql`${isOver} or ${counters.count} < ${limit}`,
        })
        .returning({ count: counters.count })
      return row !== undefined
    },

    async unlock(tx, subject) {
      await tx
        .update(counters)
        .set({ count: 0 })
        .where(eq(counters.subject, nameOf(subject)))
    },
  }
}

const isOver = sql`${counters.expiresAt} <= clock_timestamp()`
