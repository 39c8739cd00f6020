import { type Static, t } from 'elysia'
import { Timestamp, Uuid } from '~/platform/http/schema'

export const User = t.Object(
  {
    id: Uuid,
    email: t.String(),
    name: t.Nullable(t.String()),
    is_active: t.Boolean(),
    is_admin: t.Boolean(),
    client_id: t.Nullable(Uuid),
    email_verified: t.Boolean(),
    created_at: t.Nullable(Timestamp),
    updated_at: t.Nullable(Timestamp),
  },
  { title: 'User' },
)
export type User = Static<typeof User>
