import { and, asc, desc, eq, gt, gte, lte, type SQL, sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import { behind, countSome, momentOf, type Position } from '~/platform/keyset'
import { outbox } from '~/platform/outbox/table'
import type { Head, Link } from '../chain'
import type { AuditFilter } from '../schema'
import { auditChains, auditLogs } from '../table'

const view = {
  id: auditLogs.id,
  user_id: auditLogs.userId,
  actor_user_id: auditLogs.actorUserId,
  client_id: auditLogs.clientId,
  action: auditLogs.action,
  resource_type: auditLogs.resourceType,
  resource_id: auditLogs.resourceId,
  details: auditLogs.details,
  ip_address: auditLogs.ipAddress,
  user_agent: auditLogs.userAgent,
  trace_id: auditLogs.traceId,
  created_at: auditLogs.createdAt,
}
const hex = (column: string) => sql<string>`encode(${sql.raw(column)}, 'hex')`
const at = momentOf(auditLogs.createdAt)
/** What an exported row has besides, so that the chain can be followed in the file. */
const chained = { seq: auditLogs.seq, prev_hash: hex('prev_hash'), hash: hex('hash') }

export interface AuditPage {
  skip: number
  limit: number
  after?: Position | undefined
}

type Scoped = AuditFilter & { client_id?: string | undefined }

const matches = (filter: Scoped, after: Position | undefined): SQL | undefined =>
  and(
    filter.client_id === undefined ? undefined : eq(auditLogs.clientId, filter.client_id),
    filter.user_id === undefined ? undefined : eq(auditLogs.userId, filter.user_id),
    filter.actor_user_id === undefined ? undefined : eq(auditLogs.actorUserId, filter.actor_user_id),
    filter.action === undefined ? undefined : eq(auditLogs.action, filter.action),
    filter.resource_type === undefined ? undefined : eq(auditLogs.resourceType, filter.resource_type),
    filter.resource_id === undefined ? undefined : eq(auditLogs.resourceId, filter.resource_id),
    filter.start_date === undefined ? undefined : gte(auditLogs.createdAt, new Date(filter.start_date)),
    filter.end_date === undefined ? undefined : lte(auditLogs.createdAt, new Date(filter.end_date)),
    behind(after, { by: auditLogs.createdAt, id: auditLogs.id, descending: true }),
  )

/** Newest first; behind `after` where it is given. */
export const listAuditLogs = (db: Db, filter: Scoped, { skip, limit, after }: AuditPage) =>
  db
    .select({ ...view, at })
    .from(auditLogs)
    .where(matches(filter, after))
    .orderBy(desc(auditLogs.createdAt), desc(auditLogs.id))
    .offset(after === undefined ? skip : 0)
    .limit(limit)

export const countAuditLogs = (db: Db, filter: Scoped): Promise<number | undefined> =>
  countSome(db, sql`select from ${auditLogs} where ${matches(filter, undefined) ?? sql`true`}`)

export const listForExport = (db: Db, filter: Scoped, { limit, after }: Omit<AuditPage, 'skip'>) =>
  db
    .select({ ...view, ...chained, at })
    .from(auditLogs)
    .where(matches(filter, after))
    .orderBy(desc(auditLogs.createdAt), desc(auditLogs.id))
    .limit(limit)

/** The end of a chain and what precedes its first row. */
export async function findChain(db: Db, id: string): Promise<{ head: Head; base: Head } | undefined> {
  const [row] = await db
    .select({ seq: auditChains.seq, hash: hex('hash'), baseSeq: auditChains.baseSeq, baseHash: hex('base_hash') })
    .from(auditChains)
    .where(eq(auditChains.id, id))
  return row && { head: { seq: row.seq, hash: row.hash }, base: { seq: row.baseSeq, hash: row.baseHash } }
}

/** Rows of a chain behind `seq` in their order, as they were hashed. */
export const listLinks = (db: Db, chainId: string, seq: number, limit: number): Promise<(Link & { erased: boolean })[]> =>
  db
    .select({
      id: auditLogs.id,
      chain_id: auditLogs.chainId,
      seq: auditLogs.seq,
      client_id: auditLogs.clientId,
      user_id: auditLogs.userId,
      actor_user_id: auditLogs.actorUserId,
      action: auditLogs.action,
      resource_type: auditLogs.resourceType,
      trace_id: auditLogs.traceId,
      created_at: at,
      recorded_at: momentOf(auditLogs.recordedAt),
      resource_id: auditLogs.resourceId,
      details: auditLogs.details,
      ip_address: auditLogs.ipAddress,
      user_agent: auditLogs.userAgent,
      salt: sql<string | null>`encode(salt, 'hex')`,
      personal_hash: hex('personal_hash'),
      prev_hash: hex('prev_hash'),
      hash: hex('hash'),
      erased: sql<boolean>`erased_at is not null`,
    })
    .from(auditLogs)
    .where(and(eq(auditLogs.chainId, chainId), gt(auditLogs.seq, seq)))
    .orderBy(asc(auditLogs.seq), asc(auditLogs.recordedAt))
    .limit(limit)

type Erased = Pick<Scoped, 'user_id' | 'resource_type' | 'resource_id'>

/** Takes the personal part out of rows, whose hash of it stays, and out of what waits to become one. For a transaction. */
export async function erasePersonal(tx: Db, filter: Erased): Promise<number> {
  // First: behind a worker that is writing these entries down, so that the next statement sees them.
  const waiting = await tx.execute(sql`
    update ${outbox} set payload = payload || '{"resource_id":null,"details":null,"ip_address":null,"user_agent":null}'
    where kind = 'audit' and ${isAbout(filter)}`)
  const rows = await tx.execute(sql`
    update audit_logs set resource_id = null, details = null, ip_address = null, user_agent = null, salt = null, erased_at = clock_timestamp()
    where ${matches(filter, undefined)} and erased_at is null`)
  return waiting.count + rows.count
}

const isAbout = (filter: Erased) =>
  and(
    filter.user_id === undefined ? undefined : sql`payload->>'user_id' = ${filter.user_id}`,
    filter.resource_type === undefined ? undefined : sql`payload->>'resource_type' = ${filter.resource_type}`,
    filter.resource_id === undefined ? undefined : sql`payload->>'resource_id' = ${filter.resource_id}`,
  )
