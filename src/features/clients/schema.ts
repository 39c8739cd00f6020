import { type Static, t } from 'elysia'
import { Email, Name, passwordOf, Timestamp, Uuid } from '~/platform/http/schema'

export const Client = t.Object({ id: Uuid, name: t.String(), email: t.String(), created_at: Timestamp }, { title: 'Client' })
export type Client = Static<typeof Client>

export const ClientChange = t.Object({ name: Name, email: Email }, { examples: [{ name: 'Ada Ltd', email: 'office@example.com' }] })
export type ClientChange = Static<typeof ClientChange>

export const ClientSecurity = t.Object(
  { require_second_factor: t.Boolean({ description: 'Whoever has no second factor can do nothing but set one up.' }) },
  { title: 'ClientSecurity', examples: [{ require_second_factor: true }] },
)
export type ClientSecurity = Static<typeof ClientSecurity>

/** With its first owner, whose address is the client's and whose password an admin chose. */
export const NewClient = t.Object(
  {
    name: Name,
    email: Email,
    password: passwordOf(8),
  },
  { examples: [{ name: 'Ada Ltd', email: 'ada@example.com', password: 'correct horse battery' }] },
)
export type NewClient = Static<typeof NewClient>
