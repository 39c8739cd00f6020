import { createHmac } from 'node:crypto'
import { and, eq, ne, type SQL, sql } from 'drizzle-orm'
import { attemptCounters as counters } from './attempts-table'
import type { Db } from './db'
import { DomainError } from './errors'
import { networkOf } from './network'
import type { DerivedKeys } from './secrets'
import { createTurns } from './turns'

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
   * number of parallel guesses no more than the allowed ones fail. Where the tries are all in hand, the next guess waits for what becomes of them.
   * A success clears the counters and makes the network a known one: it then keeps a counter of its own, so that strangers cannot lock out those who
   * belong there. `isLast`: the guess failed and was the last one, so that this is the one moment to tell the owner.
   * @throws DomainError `too-many-attempts`; `overloaded`, and what the guess throws: then it does not count
   */
  guess(tries: Tries, isRight: () => Promise<boolean>): Promise<{ right: boolean; isLast: boolean }>
  /** Whether something may be done once more: `max` times within so many seconds of the first time. Taken in the caller's transaction. */
  spend(db: Db, subject: string, limit: { max: number; seconds: number }): Promise<boolean>
  /** Gives the subject all its tries back. The networks stay known. */
  unlock(db: Db, subject: string): Promise<void>
}

const EVERYWHERE = '*'
const MAX_EVERYWHERE = 100
const KNOWN_FOR = sql`interval '90 days'`
/** Longer than a guess takes: after that its process is gone. */
const IN_HAND_FOR = sql`interval '30 seconds'`
const MAX_WAIT_MS = 2000
const RETRY_MS = 25
const MAX_LOCKS = 10_000
const PRUNE_EVERY_MS = 600_000
const PRUNE_BATCH = 1000

/** Where a try counts: altogether only from networks that are not known. */
interface Networks {
  here: string
  altogether: string | null
}

interface Lock {
  askedAt: number
  seconds: number
}

interface AttemptsDeps {
  db: Db
  /** Subjects are stored as what these make of them. */
  keys: DerivedKeys
  max: number
  windowSeconds: number
}

/** Counts in PostgreSQL, by its clock, so that the limits hold on all replicas together and whatever becomes of Redis. */
export function createAttempts({ db, keys, max, windowSeconds }: AttemptsDeps): Attempts {
  /** The name under which a subject counts; what it has under the name of an older key comes along. */
  const nameOf = async (tx: Db, subject: string): Promise<Buffer> => {
    const [name, ...former] = keys.map((key) => createHmac('sha256', key).update(`attempts:${subject}`).digest())
    if (name === undefined) throw new Error('attempts need a key')
    if (former.length > 0) await adoptCounters(tx, name, former)
    return name
  }
  const window = sql`clock_timestamp() + ${windowSeconds} * interval '1 second'`
  // Most of those who would wait for each other are in one process: they need not ask PostgreSQL for it.
  const turns = createTurns({ atOnce: max, maxWaitMs: MAX_WAIT_MS })
  const locks = new Map<string, Lock>()
  let prunedAt = performance.now()

  /**
   * In one statement, whatever comes of it: its time tells nothing. No row: none is left there. `altogether` false, though the network is none of the
   * owner's: none is left for strangers. Locks the network's row first, as everything here.
   */
  const take = async (subject: Buffer, network: string, everywhere: number) => {
    const [row] = await db.execute<{ is_known: boolean; altogether: boolean }>(sql`
      with here as (
        insert into ${counters} (subject, network, count, expires_at, pending, pending_until)
        values (${subject}, ${network}, 0, clock_timestamp(), 1, clock_timestamp() + ${IN_HAND_FOR})
        on conflict (subject, network) do update set pending = ${inHand} + 1, pending_until = excluded.pending_until
        where ${failures} + ${inHand} < ${max}
        returning coalesce(succeeded_at > now() - ${KNOWN_FOR}, false) as is_known
      ), altogether as (
        insert into ${counters} (subject, network, count, expires_at, pending, pending_until)
        select ${subject}::bytea, ${EVERYWHERE}::text, 0, clock_timestamp(), 1, clock_timestamp() + ${IN_HAND_FOR} from here where not is_known
        on conflict (subject, network) do update set pending = ${inHand} + 1, pending_until = excluded.pending_until
        where ${failures} + ${inHand} < ${everywhere}
        returning true as taken
      )
      select is_known, taken is not null as altogether from here left join altogether on true`)
    return row
  }

  /** What became of a try, in one statement as well. The numbers of failures, here and altogether. */
  const settle = async (
    subject: Buffer,
    networks: { here: string; altogether: string | null },
    outcome: { here: SQL; altogether: SQL },
  ) => {
    const [row] = await db.execute<{ here: number; altogether: number | null }>(sql`
      with here as (
        update ${counters} set ${outcome.here}, pending = greatest(${counters.pending} - 1, 0)
        where subject = ${subject} and network = ${networks.here}
        returning count
      ), altogether as (
        update ${counters} set ${outcome.altogether}, pending = greatest(${counters.pending} - 1, 0)
        from here where subject = ${subject} and network = ${networks.altogether}
        returning ${counters.count} as count
      )
      select here.count as here, altogether.count as altogether from here left join altogether on true`)
    return row
  }

  const failed = sql`count = ${failures} + 1, expires_at = ${window}`
  const cleared = sql`count = 0`
  const untouched = sql`count = ${counters.count}`

  /** How long the subject is locked there; undefined where its tries are only in hand. */
  const lockedFor = async (subject: Buffer, network: string, limit: number): Promise<number | undefined> => {
    const [row] = await db
      .select({ seconds: sql<number>`extract(epoch from ${counters.expiresAt} - clock_timestamp())::float8` })
      .from(counters)
      .where(and(eq(counters.subject, subject), eq(counters.network, network), sql`${failures} >= ${limit}`))
    return row?.seconds
  }

  /** A try, as soon as there is one. @throws DomainError `too-many-attempts`, `overloaded` */
  const takeInTime = async (subject: Buffer, here: string, everywhere: number, onLock: (lock: Lock) => void) => {
    const deadline = performance.now() + MAX_WAIT_MS
    for (let askedAt = performance.now(); askedAt < deadline; askedAt = performance.now()) {
      const taken = await take(subject, here, everywhere)
      if (taken?.is_known) return { here, altogether: null }
      if (taken?.altogether) return { here, altogether: EVERYWHERE }
      if (taken !== undefined) await settle(subject, { here, altogether: null }, { here: untouched, altogether: untouched })
      const seconds = taken === undefined ? await lockedFor(subject, here, max) : await lockedFor(subject, EVERYWHERE, everywhere)
      if (seconds !== undefined) {
        onLock({ askedAt, seconds })
        throw locked(seconds)
      }
      await Bun.sleep(RETRY_MS)
    }
    throw new DomainError('overloaded', 'Too many attempts at once.', { retryAfterSeconds: 1 })
  }

  /** Now and then, since guesses at names that nobody has leave rows behind. */
  const prune = async () => {
    if (performance.now() - prunedAt < PRUNE_EVERY_MS) return
    prunedAt = performance.now()
    await db.delete(counters).where(
      sql`(${counters.subject}, ${counters.network}) in (
        select subject, network from attempt_counters
        where expires_at < now() - ${IN_HAND_FOR} and (succeeded_at is null or succeeded_at < now() - ${KNOWN_FOR})
          and coalesce(pending_until < now(), true)
        limit ${PRUNE_BATCH} for update skip locked
      )`,
    )
  }

  const guess = async (networks: Networks, subject: Buffer, everywhere: number, isRight: () => Promise<boolean>) => {
    let right: boolean
    try {
      right = await isRight()
    } catch (error) {
      await settle(subject, networks, { here: untouched, altogether: untouched })
      throw error
    }
    if (right) {
      await settle(subject, networks, { here: sql`${cleared}, succeeded_at = clock_timestamp()`, altogether: cleared })
      return { right, isLast: false }
    }
    const counted = await settle(subject, networks, { here: failed, altogether: failed })
    return { right, isLast: counted?.here === max || counted?.altogether === everywhere }
  }

  return {
    async guess({ subject: name, address, everywhere = MAX_EVERYWHERE }, isRight) {
      await prune()
      const [subject, network] = [await nameOf(db, name), networkOf(address)]
      const lane = `${subject.toString('hex')} ${network}`
      const arrivedAt = performance.now()
      return turns(lane, async () => {
        // What somebody ahead was told since then is true for all who stood behind: a flood of guesses costs PostgreSQL little.
        const lock = locks.get(lane)
        if (lock !== undefined && lock.askedAt >= arrivedAt) throw locked(lock.seconds)
        const networks = await takeInTime(subject, network, everywhere, (found) => {
          if (locks.size >= MAX_LOCKS) locks.clear()
          locks.set(lane, found)
        })
        return guess(networks, subject, everywhere, isRight)
      })
    },

    async spend(tx, name, { max: limit, seconds }) {
      const subject = await nameOf(tx, name)
      const ends = sql`clock_timestamp() + ${seconds} * interval '1 second'`
      const [row] = await tx
        .insert(counters)
        .values({ subject, network: EVERYWHERE, count: 1, expiresAt: ends })
        .onConflictDoUpdate({
          target: [counters.subject, counters.network],
          set: { count: sql`${failures} + 1`, expiresAt: sql`case when ${isOver} then ${ends} else ${counters.expiresAt} end` },
          setWhere: sql`${failures} < ${limit}`,
        })
        .returning({ count: counters.count })
      return row !== undefined
    },

    async unlock(tx, name) {
      const subject = await nameOf(tx, name)
      for (const network of [ne(counters.network, EVERYWHERE), eq(counters.network, EVERYWHERE)])
        await tx
          .update(counters)
          .set({ count: 0 })
          .where(and(eq(counters.subject, subject), network))
    },
  }
}

const locked = (seconds: number) =>
  new DomainError('too-many-attempts', 'Too many failed attempts. Try again later.', { retryAfterSeconds: Math.max(1, Math.ceil(seconds)) })

const isOver = sql`${counters.expiresAt} <= clock_timestamp()`
const failures = sql`(case when ${isOver} then 0 else ${counters.count} end)`
const inHand = sql`(case when ${counters.pendingUntil} > clock_timestamp() then ${counters.pending} else 0 end)`

/**
 * Brings what a subject has under former names under its present one. What is in hand is left until its outcome is known. The row of all networks comes
 * last, as everywhere here.
 */
const adoptCounters = (db: Db, name: Buffer, former: Buffer[]) =>
  db.execute(sql`
    with old as (
      delete from ${counters} where (subject, network) in (
        select subject, network from attempt_counters
        where subject in (${sql.join(
          former.map((known) => sql`${known}::bytea`),
          sql`, `,
        )}) and not (pending > 0 and coalesce(pending_until > clock_timestamp(), false))
        for update skip locked
      )
      returning network, ${failures} as count, expires_at, succeeded_at
    )
    insert into ${counters} (subject, network, count, expires_at, succeeded_at)
    select ${name}::bytea, network, max(count), max(expires_at), max(succeeded_at) from old group by network order by network = ${EVERYWHERE}, network
    on conflict (subject, network) do update set
      count = greatest(${failures}, excluded.count),
      expires_at = greatest(${counters.expiresAt}, excluded.expires_at),
      succeeded_at = greatest(${counters.succeededAt}, excluded.succeeded_at)`)
