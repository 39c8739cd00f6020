import { type Static, t } from 'elysia'
import { choice, Email, Name, passwordOf, Timestamp, Uuid } from '~/platform/http/schema'
import { LOCALES } from '~/platform/locale'

export const User = t.Object(
  {
    id: Uuid,
    email: t.String(),
    name: t.Nullable(t.String()),
    is_active: t.Boolean(),
    is_admin: t.Boolean(),
    client_id: t.Nullable(Uuid),
    email_verified: t.Boolean(),
    locale: t.String({ description: 'The language of mails.' }),
    created_at: t.Nullable(Timestamp),
    updated_at: t.Nullable(Timestamp),
  },
  { title: 'User' },
)
export type User = Static<typeof User>

export const OwnLocale = t.Object(
  {
    locale: choice(LOCALES, { description: 'The language of mails: English or Portuguese.' }),
  },
  { examples: [{ locale: 'pt' }] },
)
export type OwnLocale = Static<typeof OwnLocale>

/** A first password that one person gives another: replaced within days, so only its length is asked for. */
export const InitialPassword = passwordOf(8)
export const INITIAL_PASSWORD_DAYS = 7

export const NewAdmin = t.Object(
  { email: Email, password: InitialPassword, name: Name },
  { examples: [{ email: 'grace@example.com', password: 'correct horse battery', name: 'Grace' }] },
)
export type NewAdmin = Static<typeof NewAdmin>
