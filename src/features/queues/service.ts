import { authorize } from '~/platform/access'
import type { Db } from '~/platform/db'
import { DomainError, notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import { type StreamFigures, streamFigures } from '~/platform/outbox/streams'
import { OUTBOX_KINDS, type OutboxKind } from '~/platform/outbox/table'
import type { Principal } from '~/platform/principal'
import type { RedisStore } from '~/platform/redis'
import type { Write } from '~/platform/unit-of-work'
import { countDead, deleteDead, listBacklogs, listDead, lockDead, markReplayed, reopenRow } from './queries'
import type { DeadLetter, Queue } from './schema'

export type QueueService = ReturnType<typeof createQueueService>

interface Deps {
  db: Db
  redis: RedisStore
  write: Write
  /** What a kind of work needs besides its outbox row to be done again. */
  reopen: Partial<Record<OutboxKind, (tx: Db, outboxId: string) => Promise<void>>>
}

const PLATFORM = { kind: 'platform' } as const

/** The queues of the background workers, for platform admins and for metrics. */
export function createQueueService({ db, redis, write, reopen }: Deps) {
  async function figures(): Promise<Queue[]> {
    const [backlogs, streams] = await Promise.all([listBacklogs(db), Promise.all(OUTBOX_KINDS.map((kind) => figuresOf(kind)))])
    return OUTBOX_KINDS.map((name, index) => {
      const backlog = backlogs.find(({ kind }) => kind === name)
      return {
        name,
        unfinished: backlog?.unfinished ?? 0,
        oldest_seconds: backlog?.oldestSeconds ?? null,
        dead: backlog?.dead ?? 0,
        stream: streams[index] ?? null,
      }
    })
  }

  /** That Redis is away is part of the answer. */
  const figuresOf = (kind: OutboxKind): Promise<StreamFigures | null> => streamFigures(redis, kind).catch(() => null)

  return {
    figures,

    list(principal: Principal): Promise<Queue[]> {
      authorize(principal, 'read', PLATFORM)
      return figures()
    },

    async listDead(principal: Principal, queue: OutboxKind, page: Page): Promise<{ items: DeadLetter[]; total: number }> {
      authorize(principal, 'read', PLATFORM)
      const [items, total] = await Promise.all([listDead(db, queue, page), countDead(db, queue)])
      return { items, total }
    },

    /** Lets the work be done again, from the beginning. @throws DomainError `conflict` when there is nothing to be done */
    replay(principal: Principal, queue: OutboxKind, id: string): Promise<{ message: string }> {
      authorize(principal, 'write', PLATFORM)
      return write(principal, async ({ tx, audit }) => {
        const letter = await lockDead(tx, queue, id)
        if (letter === undefined) throw notFound('Dead letter')
        if (letter.outbox_id === null || !(await reopenRow(tx, queue, letter.outbox_id)))
          throw new DomainError('conflict', 'This entry names no work that could be done. Discard it.')
        await reopen[queue]?.(tx, letter.outbox_id)
        await markReplayed(tx, id)
        audit({ action: 'replay', resourceType: 'dead_letter', resourceId: id, details: { queue, outbox_id: letter.outbox_id } })
        return { message: 'The entry will be worked on again.' }
      })
    },

    discard(principal: Principal, queue: OutboxKind, id: string): Promise<void> {
      authorize(principal, 'write', PLATFORM)
      return write(principal, async ({ tx, audit }) => {
        if (!(await deleteDead(tx, queue, id))) throw notFound('Dead letter')
        audit({ action: 'discard', resourceType: 'dead_letter', resourceId: id, details: { queue } })
      })
    },
  }
}
