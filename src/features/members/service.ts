import type { SignOut } from '~/features/auth/sign-out'
import type { User } from '~/features/users/schema'
import { authorize } from '~/platform/access'
import type { Db } from '~/platform/db'
import { DomainError, notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import { type Listed, pageFrom } from '~/platform/keyset'
import type { Locale } from '~/platform/locale'
import type { HashNewPassword } from '~/platform/passwords/new-password'
import type { Actor, MemberRole, Principal, UserPrincipal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import type { InvitationTokens } from './invitation-links'
import {
  acceptInvitation,
  countInvitations,
  countMembers,
  countOtherOwners,
  findMember,
  findValidInvitation,
  insertInvitation,
  insertMember,
  listInvitations,
  listMembers,
  lockClient,
  revokeInvitations,
  updateMember,
} from './queries'
import type { Acceptance, Invitation, Member, NewInvitation } from './schema'

export type MemberService = ReturnType<typeof createMemberService>

interface Deps {
  db: Db
  write: Write
  hashNewPassword: HashNewPassword
  signOut: SignOut
  tokens: InvitationTokens
  invitationSeconds: number
}

/** Each may be a mail to somebody who did not ask for it. */
const MAX_OPEN_INVITATIONS = 100

export const createMemberService = ({ db, write, hashNewPassword, signOut, tokens, invitationSeconds }: Deps) => ({
  async list(principal: Principal, clientId: string, page: Page): Promise<Listed<Member>> {
    authorize(principal, 'read', { kind: 'members', clientId })
    const [rows, total] = await Promise.all([listMembers(db, clientId, page), countMembers(db, clientId)])
    return { ...pageFrom(rows, page.limit), total }
  },

  async changeRole(principal: Principal, clientId: string, userId: string, role: MemberRole): Promise<Member> {
    authorize(principal, 'write', { kind: 'members', clientId })
    const member = await write(principal, async ({ tx, audit }) => {
      await lockClient(tx, clientId)
      const before = await findMember(tx, clientId, { id: userId })
      if (before === undefined) throw notFound('Member')
      if (role !== 'owner') await keepAnOwner(tx, clientId, before)
      const after = await updateMember(tx, clientId, userId, { role })
      if (after === undefined) throw notFound('Member')
      audit({ action: 'change_role', resourceType: 'member', resourceId: userId, clientId, details: { from: before.role, to: role } })
      return after
    })
    await signOut.announceChange(userId)
    return member
  },

  /** Switches a member off and signs them out. What they made stays; an admin can switch them on again. */
  async remove(principal: Principal, clientId: string, userId: string): Promise<void> {
    authorize(principal, 'write', { kind: 'members', clientId })
    const ended = await write(principal, async ({ tx, audit }) => {
      await lockClient(tx, clientId)
      const before = await findMember(tx, clientId, { id: userId })
      if (before === undefined) throw notFound('Member')
      await keepAnOwner(tx, clientId, before)
      await updateMember(tx, clientId, userId, { isActive: false })
      audit({ action: 'remove', resourceType: 'member', resourceId: userId, clientId, details: { email: before.email } })
      return signOut.end(tx, [userId])
    })
    await signOut.announce(ended)
  },

  async listInvitations(principal: Principal, clientId: string, page: Page): Promise<Listed<Invitation>> {
    authorize(principal, 'read', { kind: 'invitations', clientId })
    const [rows, total] = await Promise.all([listInvitations(db, clientId, page), countInvitations(db, clientId)])
    return { ...pageFrom(rows, page.limit), total }
  },

  /**
   * The newest invitation of an address takes the place of earlier ones. Whether the address has an account elsewhere is not told here:
   * it shows when the invitation is accepted, to the owner of the address.
   */
  invite(principal: UserPrincipal, clientId: string, { email, role }: NewInvitation): Promise<Invitation> {
    authorize(principal, 'write', { kind: 'invitations', clientId })
    return write(principal, async ({ tx, audit, mail }) => {
      if (!(await lockClient(tx, clientId))) throw notFound('Client')
      const known = await findMember(tx, clientId, { email })
      if (known !== undefined) throw new DomainError('conflict', wasRemoved(known) ? REMOVED : 'This person is a member already.')
      await revokeInvitations(tx, clientId, { email })
      if ((await countInvitations(tx, clientId)) >= MAX_OPEN_INVITATIONS)
        throw new DomainError('conflict', `There are ${MAX_OPEN_INVITATIONS} open invitations. Withdraw some of them first.`)
      const id = Bun.randomUUIDv7()
      const invitation = await insertInvitation(tx, {
        id,
        clientId,
        email: email.toLowerCase(),
        role,
        tokenHash: tokens.hash(tokens.derive(id)),
        invitedBy: principal.userId,
        seconds: invitationSeconds,
      })
      mail({ template: 'invitation', invitation_id: id })
      audit({ action: 'invite', resourceType: 'invitation', resourceId: id, clientId, details: { email: invitation.email, role } })
      return invitation
    })
  },

  withdraw(principal: Principal, clientId: string, id: string): Promise<void> {
    authorize(principal, 'write', { kind: 'invitations', clientId })
    return write(principal, async ({ tx, audit }) => {
      const [gone] = await revokeInvitations(tx, clientId, { id })
      if (gone === undefined) throw notFound('Invitation')
      audit({ action: 'withdraw', resourceType: 'invitation', resourceId: id, clientId, details: { email: gone.email } })
    })
  },

  /** @throws DomainError `invalid-one-time-token`, the same for every reason; `conflict` when the address has an account */
  async accept(actor: Actor, { token, name, password }: Acceptance, locale: Locale): Promise<User> {
    const tokenHash = tokens.hash(token)
    // Looked at before the password is hashed: a guess must not cost more than a look.
    const valid = await findValidInvitation(db, tokenHash)
    if (valid === undefined) throw invalidToken()
    const about = { email: valid.email, names: [valid.clientName, name] }
    const passwordHash = await hashNewPassword('/password', { chosen: password, about })
    return write(actor, async ({ tx, audit }) => {
      const invitation = await acceptInvitation(tx, tokenHash)
      if (invitation === undefined) throw invalidToken()
      const { client_id: clientId, email, role } = invitation
      const user = await insertMember(tx, { clientId, email, name, role, passwordHash, locale })
      if (user === undefined) throw new DomainError('conflict', 'Email already registered')
      audit({ action: 'accept', resourceType: 'invitation', resourceId: invitation.id, clientId, details: { user_id: user.id, role } })
      return user
    })
  },
})

const invalidToken = () => new DomainError('invalid-one-time-token', 'Invalid invitation token')

const wasRemoved = ({ is_active, email_verified }: Member) => !is_active && email_verified
const REMOVED = 'This person was a member and is switched off. An admin of the platform can switch them on again.'

/** Under the client's lock, so that two owners cannot remove each other. */
async function keepAnOwner(tx: Db, clientId: string, { id, role, is_active }: Member) {
  if (role !== 'owner' || !is_active) return
  if ((await countOtherOwners(tx, clientId, id)) === 0) throw new DomainError('conflict', 'A client keeps at least one owner.')
}
