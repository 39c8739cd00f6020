import { Elysia, t } from 'elysia'
import { authorize } from '~/platform/access'
import type { Db } from '~/platform/db'
import { PageQuery, pageOf, Timestamp, Uuid } from '~/platform/http/schema'
import type { Session } from '~/platform/http/session'
import { listAuditLogs } from './queries'

const AuditLog = t.Object(
  {
    id: Uuid,
    user_id: t.Nullable(Uuid),
    actor_user_id: t.Nullable(Uuid),
    client_id: t.Nullable(Uuid),
    action: t.String(),
    resource_type: t.String(),
    resource_id: t.Nullable(t.String()),
    details: t.Nullable(t.Record(t.String(), t.Any())),
    ip_address: t.Nullable(t.String()),
    user_agent: t.Nullable(t.String()),
    trace_id: t.Nullable(t.String()),
    created_at: Timestamp,
  },
  { title: 'AuditLog' },
)
const Text = t.Optional(t.String({ minLength: 1, maxLength: 200 }))
const Moment = t.Optional(t.String({ format: 'date-time', error: 'Must be a date and time as in RFC 3339' }))
const Query = t.Object({
  ...PageQuery,
  user_id: t.Optional(Uuid),
  actor_user_id: t.Optional(Uuid),
  action: Text,
  resource_type: Text,
  resource_id: Text,
  start_date: Moment,
  end_date: Moment,
})

export const auditRoutes = ({ db, session }: { db: Db; session: Session }) =>
  new Elysia({ prefix: '/admin', tags: ['admin'] }).use(session).get(
    '/audit-logs',
    ({ principal, query }) => {
      authorize(principal, 'read', { kind: 'platform' })
      return listAuditLogs(db, query, pageOf(query))
    },
    { query: Query, response: { 200: t.Array(AuditLog) }, detail: { summary: 'Who did what, newest first; admins only' } },
  )
