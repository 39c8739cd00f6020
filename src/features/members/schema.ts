import { type Static, t } from 'elysia'
import { choice, Email, LinkCode, Name, passwordOf, Timestamp, Uuid } from '~/platform/http/schema'
import { MEMBER_ROLES } from '~/platform/principal'

const Role = choice(MEMBER_ROLES, { description: 'viewer reads, member also writes, owner also manages people and settings.' })

export const Member = t.Object(
  {
    id: Uuid,
    email: t.String(),
    name: t.Nullable(t.String()),
    role: Role,
    is_active: t.Boolean(),
    email_verified: t.Boolean(),
    created_at: Timestamp,
  },
  { title: 'Member' },
)
export type Member = Static<typeof Member>

export const RoleChange = t.Object({ role: Role }, { examples: [{ role: 'viewer' }] })

export const Invitation = t.Object(
  {
    id: Uuid,
    client_id: Uuid,
    email: t.String(),
    role: Role,
    invited_by: t.Nullable(Uuid),
    created_at: Timestamp,
    expires_at: Timestamp,
  },
  { title: 'Invitation' },
)
export type Invitation = Static<typeof Invitation>

export const NewInvitation = t.Object({ email: Email, role: Role }, { examples: [{ email: 'grace@example.com', role: 'member' }] })
export type NewInvitation = Static<typeof NewInvitation>

export const acceptanceSchema = ({ passwordMinLength }: { passwordMinLength: number }) =>
  t.Object(
    {
      token: LinkCode,
      name: Name,
      password: passwordOf(passwordMinLength),
    },
    { examples: [{ token: 'the code of the link', name: 'Grace', password: 'correct horse battery' }] },
  )
export type Acceptance = Static<ReturnType<typeof acceptanceSchema>>
