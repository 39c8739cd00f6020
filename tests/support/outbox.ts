import { asc, inArray, type SQL, sql } from 'drizzle-orm'
import type { AuditPayload } from '~/platform/audit'
import { outbox } from '~/platform/outbox/table'
import type { Reply, TestApp } from './start-app'

/** What has been written for the audit worker since the app started, oldest first, and what one has moved into the log since. */
export const auditedBy = (app: TestApp): Promise<AuditPayload[]> => listAudited(app, sql`true`)

export async function mailsAskedBy(app: TestApp): Promise<Record<string, unknown>[]> {
  const rows = await app.services.db
    .select({ payload: outbox.payload })
    .from(outbox)
    .where(inArray(outbox.kind, ['email', 'email-bulk']))
    .orderBy(asc(outbox.id))
  return rows.map(({ payload }) => payload as Record<string, unknown>)
}

/** What one request has left for the audit log, by the id that its answer bears. */
export const auditedIn = (app: TestApp, { headers }: Reply): Promise<AuditPayload[]> =>
  listAudited(app, sql`payload->>'trace_id' = ${headers.get('x-request-id') ?? ''}`)

async function listAudited(app: TestApp, condition: SQL): Promise<AuditPayload[]> {
  const rows = await app.services.db.execute<{ payload: AuditPayload }>(sql`
    select payload from (
      select id, payload from outbox where kind = 'audit'
      union all
      select id, jsonb_build_object('user_id', user_id, 'actor_user_id', actor_user_id, 'client_id', client_id, 'action', action,
        'resource_type', resource_type, 'resource_id', resource_id, 'details', details, 'ip_address', ip_address, 'user_agent', user_agent,
        'trace_id', trace_id, 'created_at', to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) as payload
      from audit_logs
    ) audited where ${condition} order by id`)
  return rows.map(({ payload }) => payload)
}
