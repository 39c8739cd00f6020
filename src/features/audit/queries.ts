import { and, desc, eq, gte, lte } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import { auditLogs } from './table'

export interface AuditFilter {
  user_id?: string | undefined
  actor_user_id?: string | undefined
  action?: string | undefined
  resource_type?: string | undefined
  resource_id?: string | undefined
  start_date?: string | undefined
  end_date?: string | undefined
}

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

/** Newest first. */
export const listAuditLogs = (db: Db, filter: AuditFilter, { skip, limit }: Page) =>
  db
    .select(view)
    .from(auditLogs)
    .where(
      and(
        filter.user_id === undefined ? undefined : eq(auditLogs.userId, filter.user_id),
        filter.actor_user_id === undefined ? undefined : eq(auditLogs.actorUserId, filter.actor_user_id),
        filter.action === undefined ? undefined : eq(auditLogs.action, filter.action),
        filter.resource_type === undefined ? undefined : eq(auditLogs.resourceType, filter.resource_type),
        filter.resource_id === undefined ? undefined : eq(auditLogs.resourceId, filter.resource_id),
        filter.start_date === undefined ? undefined : gte(auditLogs.createdAt, new Date(filter.start_date)),
        filter.end_date === undefined ? undefined : lte(auditLogs.createdAt, new Date(filter.end_date)),
      ),
    )
    .orderBy(desc(auditLogs.createdAt), desc(auditLogs.id))
    .offset(skip)
    .limit(limit)
