import { and, asc, eq, sql } from 'drizzle-orm'
import type { AuditPayload } from '~/platform/audit'
import { outbox } from '~/platform/outbox/table'
import type { Reply, TestApp } from './start-app'

/** What has been written for the workers since the app started, oldest first. */
export async function auditedBy(app: TestApp): Promise<AuditPayload[]> {
  const rows = await app.services.db
    .select({ payload: outbox.payload })
    .from(outbox)
    .where(eq(outbox.kind, 'audit'))
    .orderBy(asc(outbox.id))
  return rows.map(({ payload }) => payload as unknown as AuditPayload)
}

export async function mailsAskedBy(app: TestApp): Promise<Record<string, unknown>[]> {
  const rows = await app.services.db
    .select({ payload: outbox.payload })
    .from(outbox)
    .where(eq(outbox.kind, 'email'))
    .orderBy(asc(outbox.id))
  return rows.map(({ payload }) => payload as Record<string, unknown>)
}

/** What one request has left for the audit log, by the id that its answer bears. */
export async function auditedIn(app: TestApp, { headers }: Reply): Promise<AuditPayload[]> {
  const ofRequest = sql`${outbox.payload}->>'trace_id' = ${headers.get('x-request-id') ?? ''}`
  const rows = await app.services.db
    .select({ payload: outbox.payload })
    .from(outbox)
    .where(and(eq(outbox.kind, 'audit'), ofRequest))
  return rows.map(({ payload }) => payload as unknown as AuditPayload)
}
