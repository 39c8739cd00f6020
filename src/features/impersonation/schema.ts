import { type Static, t } from 'elysia'
import { Timestamp, text, Uuid } from '~/platform/http/schema'

export const ImpersonationToken = t.Object(
  { access_token: t.String(), token_type: t.Literal('bearer'), expires_in: t.Integer({ description: 'Its life in seconds.' }) },
  { title: 'ImpersonationToken', description: 'There is no refresh token: it ends after half an hour at most.' },
)
export type ImpersonationToken = Static<typeof ImpersonationToken>

/** The web frontend sends no body at all: it is null then. Of an optional one Elysia checks only objects, and takes whatever else for none. */
export const Reason = t.Nullable(
  t.Object(
    { reason: t.Optional(t.Nullable(text({ maxLength: 500, description: 'Why, for the record: a ticket, say.' }))) },
    { examples: [{ reason: 'Ticket 4711' }] },
  ),
)

export const Impersonation = t.Object(
  {
    id: Uuid,
    client_id: Uuid,
    user_id: Uuid,
    user_email: t.String(),
    actor_user_id: Uuid,
    actor_email: t.String(),
    reason: t.Nullable(t.String()),
    created_at: Timestamp,
    expires_at: Timestamp,
    revoked_at: t.Nullable(Timestamp),
    is_active: t.Boolean(),
  },
  { title: 'Impersonation' },
)
export type Impersonation = Static<typeof Impersonation>
