import { createHash } from 'node:crypto'
import { authorizeReach, type Reach } from '~/platform/access'
import type { Clock } from '~/platform/clock'
import type { Db } from '~/platform/db'
import { DomainError, notFound } from '~/platform/errors'
import type { Principal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import {
  emptyRecords,
  findReceipt,
  findRuns,
  insertReceipt,
  listRunsOf,
  lockContact,
  lockSessions,
  removeContact,
  removeCopies,
  removeSessions,
} from './queries'
import type { ErasureReceipt } from './schema'

export type ErasureService = ReturnType<typeof createErasureService>

interface Deps {
  db: Db
  write: Write
  clock: Clock
  cancelRun(principal: Principal, runId: string): Promise<void>
  /** Removes what is left of runs in Redis; undefined when it is out of reach. */
  forgetRuns(runIds: string[]): Promise<number | undefined>
}

/** Runs that are asked to end have so many looks of this length for it. */
const LOOKS = 25
const LOOK_MS = 200

/** Takes a contact out of everything that this server keeps. */
export function createErasureService({ db, write, clock, cancelRun, forgetRuns }: Deps) {
  /** All or nothing, while its sessions are locked. Undefined when one of them has begun another run. */
  const attempt = (principal: Principal, reach: Reach, contactId: string, streams: number | null) =>
    write(principal, async ({ tx, audit }): Promise<ErasureReceipt | undefined> => {
      const contact = await lockContact(tx, reach, contactId)
      if (contact === undefined) {
        // Somebody else was faster.
        const receipt = await findReceipt(tx, reach, contactId)
        if (receipt === undefined) throw notFound('Contact')
        return receipt
      }
      const { clientId } = contact
      const sessionIds = await lockSessions(tx, contact)
      const runs = await listRunsOf(tx, clientId, sessionIds)
      if (runs.some(({ isOver }) => !isOver)) return undefined

      const ids = [contactId, ...sessionIds, ...runs.map(({ id }) => id)]
      const sessionsGone = await removeSessions(tx, clientId, sessionIds)
      const copiesGone = await removeCopies(tx, clientId, ids)
      const emptied = await emptyRecords(tx, clientId, { sessionIds, ids })
      await removeContact(tx, contactId)
      const removed = { contacts: 1, ...sessionsGone, ...copiesGone }
      const auditId = audit({
        action: 'erase',
        resourceType: 'contact',
        resourceId: contactId,
        clientId,
        details: { removed, emptied },
      })
      const facts = { contact_id: contactId, client_id: clientId, erased_at: new Date().toISOString(), removed, emptied, streams }
      const receipt = sealed({ ...facts, audit_id: auditId })
      await insertReceipt(tx, receipt)
      return receipt
    })

  return {
    /** What it does is done once: asked again it answers the same receipt. @throws DomainError `conflict` if a run of the contact does not end in time */
    async erase(principal: Principal, contactId: string): Promise<ErasureReceipt> {
      const reach = authorizeReach(principal, 'write', 'erasures')
      const before = await findReceipt(db, reach, contactId)
      if (before !== undefined) return before
      const cancelled = new Set<string>()
      for (let look = 0; look < LOOKS; look++) {
        const runs = await findRuns(db, reach, contactId)
        const going = runs.filter(({ isOver }) => !isOver)
        if (going.length === 0) {
          const streams = (await forgetRuns(runs.map(({ id }) => id))) ?? null
          const receipt = await attempt(principal, reach, contactId, streams)
          // Once more, for the last words of runs that were just ended.
          if (receipt !== undefined) await forgetRuns(runs.map(({ id }) => id))
          if (receipt !== undefined) return receipt
        }
        for (const { id } of going) {
          if (cancelled.has(id)) continue
          cancelled.add(id)
          await cancelRun(principal, id)
        }
        if (going.length > 0) await clock.sleep(LOOK_MS)
      }
      throw new DomainError('conflict', 'A run of this contact has not ended yet. Ask again.', { retryAfterSeconds: 5 })
    },
  }
}

/** Whoever keeps the receipt can show that nobody has changed it since. */
const sealed = (facts: Omit<ErasureReceipt, 'hash'>): ErasureReceipt => ({
  ...facts,
  hash: createHash('sha256').update(JSON.stringify(facts)).digest('hex'),
})
