import { and, eq, sql } from 'drizzle-orm'
import type { AuditEntry, AuditPayload } from './audit'
import { builtOnce } from './built-once'
import { type Database, type Db, sqlState } from './db'
import type { Definer, DefinitionCache } from './definition-cache'
import { DomainError, notFound } from './errors'
import { idempotencyKeys } from './idempotency-table'
import type { Notification, Subscribe } from './notification'
import { mailKind } from './outbox/mail-kind'
import type { Relay } from './outbox/relay'
import type { Notice } from './outbox/streams'
import { type OutboxKind, outbox } from './outbox/table'
import type { Actor } from './principal'

/** One business change: everything done through it is committed together or not at all. */
export interface Unit {
  tx: Db
  /** Says what was done. The entry is written with the change; the answer is its id. */
  audit(entry: AuditEntry): string
  /** Asks for a mail. The request holds ids, never an address or a link. */
  mail(request: { template: string } & Record<string, unknown>): void
  /** Tells the client's own systems, those that asked for it. */
  notify(notification: Notification): void
  /** Has a worker do what was written down under that id. */
  follow(work: { id: string; kind: OutboxKind; clientId: string }): void
}

/**
 * Runs `work` in one transaction and hands what follows from it (audit entries, mails) to the workers after COMMIT.
 * `work` may run more than once (deadlock, broken connection), so it must act through `unit` alone.
 * With an `Idempotency-Key` a repeated request gets the first one's answer; `work`'s result is stored as JSON, so it must be JSON already or turn into it.
 * @throws DomainError `idempotency-key-reused`, `idempotency-in-progress`, `not-found` for a client that is not there, and what the database reports.
 */
export type Write = <T>(actor: Actor, work: (unit: Unit) => Promise<T>) => Promise<T>

type Row = typeof outbox.$inferInsert

export interface WriteDeps {
  database: Database
  relay: Relay
  subscribe?: Subscribe
  /** Told of every audited change, so that no writer can forget to. */
  definitions?: Pick<DefinitionCache, 'changed'>
}

export function createWrite({ database, relay, subscribe, definitions }: WriteDeps): Write {
  return async (actor, work) => {
    let rows: Row[] = []
    let told: Promise<{ id: string }[]> | undefined
    const change = database.transaction(async (tx, send) => {
      rows = []
      told = undefined
      const notifications: Notification[] = []
      const before = await claimKey(tx, actor)
      if (before !== undefined) return before.response as Awaited<ReturnType<typeof work>>
      const done = await work({
        tx,
        audit: (entry) => {
          const row = auditRow(actor, entry)
          rows.push(row)
          return row.id
        },
        mail: (request) =>
          rows.push({ id: Bun.randomUUIDv7(), kind: mailKind(request.template), clientId: clientOf(actor), payload: request }),
        notify: (notification) => notifications.push(notification),
        follow: (work) => rows.push({ ...work, payload: {} }),
      })
      if (subscribe !== undefined && notifications.length > 0)
        await send(() => {
          told = subscribe(tx, notifications)
          return told
        })
      const [only] = rows
      if (rows.length === 1 && only !== undefined) await send(() => insertRow(tx).execute(only))
      else if (rows.length > 1) await send(() => tx.insert(outbox).values(rows))
      await keepAnswer(tx, actor, done)
      return done
    })
    // Also after a failure: a COMMIT whose answer was lost may have happened.
    const result = await change.finally(() => definitions?.changed(definersOf(rows))).catch(refuseAbsentClient)
    const notices: Notice[] = rows.map(({ id, kind }) => ({ id, kind }))
    for (const { id } of (await told) ?? []) notices.push({ id, kind: 'webhook' })
    if (notices.length > 0) relay.publish(notices)
    return result
  }
}

/** Whoever may name any client may name one that is not there, and a client may go while its people are at work. */
function refuseAbsentClient(error: unknown): never {
  const state = sqlState(error)
  if (state?.code === '23503' && state.constraint?.endsWith('_client_id_fkey')) throw notFound('Client')
  throw error
}

/** Whose definitions the audited changes may have touched. A client that goes takes its own along. */
function definersOf(rows: Row[]): Definer[] {
  return rows.flatMap(({ kind, clientId = null, payload }) => {
    if (kind !== 'audit') return []
    const { action, resource_type, resource_id } = payload as Pick<AuditPayload, 'action' | 'resource_type' | 'resource_id'>
    if (DEFINES_NOTHING.has(action)) return []
    if (CATALOGUES.includes(resource_type)) return [null, clientId]
    return resource_type === 'client' ? [clientId, resource_id] : [clientId]
  })
}

const CATALOGUES = ['tool', 'mcp_server']
/** What is done all day and leaves every definition as it was. */
const DEFINES_NOTHING = new Set(['run', 'view', 'check', 'denied', 'login'])

const insertRow = builtOnce((db) => {
  const row = {
    id: sql.placeholder('id'),
    kind: sql.placeholder('kind'),
    clientId: sql.placeholder('clientId'),
    payload: sql.placeholder('payload'),
  }
  return db.insert(outbox).values(row).prepare('')
})

/** Whose keys a key is compared with: two callers may use the same one for different things. */
const scopeOf = (actor: Actor): string => {
  if (actor.kind === 'user') return actor.clientId ?? actor.userId
  if (actor.kind === 'machine-key') return actor.keyId
  return actor.kind === 'agent-key' ? actor.agentId : `address:${actor.origin.address}`
}

/** Undefined when the key is new or absent. A second request with the same key waits here for the first one's COMMIT, a second at most. */
async function claimKey(tx: Db, actor: Actor) {
  if (actor.idempotency === undefined) return undefined
  const { key, route, fingerprint } = actor.idempotency
  const scope = scopeOf(actor)
  try {
    await tx.execute("set local lock_timeout = '1s'")
    const [mine] = await tx
      .insert(idempotencyKeys)
      .values({ scope, route, key, fingerprint, response: null })
      .onConflictDoNothing()
      .returning({ key: idempotencyKeys.key })
    if (mine !== undefined) return undefined
  } catch (error) {
    if (sqlState(error)?.code === '55P03')
      throw new DomainError('idempotency-in-progress', 'A request with this Idempotency-Key is still being worked on.', { cause: error })
    throw error
  }
  const [before] = await tx
    .select({ fingerprint: idempotencyKeys.fingerprint, response: idempotencyKeys.response })
    .from(idempotencyKeys)
    .where(and(eq(idempotencyKeys.scope, scope), eq(idempotencyKeys.route, route), eq(idempotencyKeys.key, key)))
  if (before === undefined)
    throw new DomainError('idempotency-in-progress', 'A request with this Idempotency-Key is still being worked on.')
  if (before.fingerprint !== fingerprint)
    throw new DomainError('idempotency-key-reused', REUSED, {
      errors: [{ pointer: '/header/idempotency-key', code: 'reused', message: REUSED }],
    })
  return before
}

const REUSED = 'This Idempotency-Key was used for a different request.'

async function keepAnswer(tx: Db, actor: Actor, response: unknown) {
  if (actor.idempotency === undefined) return
  const { key, route } = actor.idempotency
  await tx
    .update(idempotencyKeys)
    .set({ response: response ?? null })
    .where(and(eq(idempotencyKeys.scope, scopeOf(actor)), eq(idempotencyKeys.route, route), eq(idempotencyKeys.key, key)))
}

const clientOf = (actor: Actor) => ('clientId' in actor ? actor.clientId : null)

function auditRow(actor: Actor, entry: AuditEntry): Row {
  const clientId = entry.clientId === undefined ? clientOf(actor) : entry.clientId
  return {
    id: Bun.randomUUIDv7(),
    kind: 'audit',
    clientId,
    payload: {
      user_id: entry.userId ?? (actor.kind === 'user' ? actor.userId : null),
      actor_user_id: actor.kind === 'user' ? (actor.actor?.userId ?? null) : null,
      client_id: clientId,
      action: entry.action,
      resource_type: entry.resourceType,
      resource_id: entry.resourceId,
      details: detailsOf(actor, entry),
      ip_address: actor.origin.address,
      user_agent: actor.origin.userAgent,
      trace_id: actor.origin.traceId,
      created_at: new Date().toISOString(),
    },
  }
}

/** A key is named beside what was done with it: it belongs to no user. */
function detailsOf(actor: Actor, { details }: AuditEntry): Record<string, unknown> | null {
  if (actor.kind === 'machine-key') return { ...details, machine_key_id: actor.keyId }
  if (actor.kind === 'agent-key') return { ...details, agent_key_of: actor.agentId }
  return details ?? null
}
