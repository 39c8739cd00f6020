import { type Static, t } from 'elysia'
import { Timestamp, text, Uuid } from '~/platform/http/schema'

export const Refresh = t.Object(
  {
    refresh_token: text({ minLength: 1, maxLength: 4096, description: 'The newest one: each is good for one refresh.' }),
  },
  { examples: [{ refresh_token: 'the refresh_token of the sign-in' }] },
)

export const SignedIn = t.Object(
  {
    access_token: t.String(),
    token_type: t.Literal('bearer'),
    expires_in: t.Integer({ description: 'Life of the access token in seconds.' }),
    refresh_token: t.String({ description: 'For `POST /auth/refresh`, once. Keep it as safe as a password.' }),
  },
  { title: 'SignedIn' },
)
export type SignedIn = Static<typeof SignedIn>

export const SignIn = t.Object(
  {
    id: Uuid,
    user_agent: t.Nullable(t.String({ description: 'The device, as it called itself.' })),
    address: t.String({ description: 'Where it signed in from, or was last refreshed.' }),
    created_at: Timestamp,
    last_seen_at: Timestamp,
    expires_at: Timestamp,
    is_current: t.Boolean({ description: 'The one that this request belongs to.' }),
  },
  { title: 'SignIn' },
)
export type SignIn = Static<typeof SignIn>
