import { findUser, findUserByEmail, setPassword } from '~/features/users/queries'
import { authorize } from '~/platform/access'
import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import type { HashNewPassword } from '~/platform/passwords/new-password'
import type { Actor, UserPrincipal } from '~/platform/principal'
import type { Unit, Write } from '~/platform/unit-of-work'
import type { Links } from './links'
import type { Unlock } from './lock'
import { hashToken } from './one-time-token'
import { incorrectPassword, type OwnPasswordCheck } from './password-check'
import { consumeToken, deleteTokens, findTokenOwner } from './queries'
import type { SignOut } from './sign-out'

interface Deps {
  db: Db
  write: Write
  links: Links
  unlock: Unlock
  signOut: SignOut
  checkOwnPassword: OwnPasswordCheck
  hashNewPassword: HashNewPassword
}

/** How a person sets another password: with the old one, or with a link. */
export function createOwnPassword({ db, write, links, unlock, signOut, checkOwnPassword, hashNewPassword }: Deps) {
  /**
   * Everybody who was signed in with the old password is signed out, except the one who changes it, and what they have begun with it is void.
   * Announce them after COMMIT.
   */
  const replacePassword = async (unit: Unit, userId: string, set: { passwordHash: string; before?: string }, except?: string) => {
    if (!(await setPassword(unit.tx, userId, set))) throw incorrectPassword()
    await deleteTokens(unit.tx, userId, ['change-email', 'second-factor', 'reset-password'])
    unit.mail({ template: 'password-changed', user_id: userId })
    return signOut.end(unit.tx, [userId], except)
  }

  return {
    /** Silent about unknown addresses. @throws DomainError `rate-limited` */
    async forgotPassword(actor: Actor, email: string): Promise<void> {
      await links.admit(db, actor)
      await write(actor, async (unit) => {
        const user = await findUserByEmail(unit.tx, email)
        await links.send(unit, email, user, 'reset-password')
        unit.audit({ action: 'forgot_password', resourceType: 'user', resourceId: user?.id ?? null, clientId: user?.client_id ?? null })
      })
    },

    /** Ends a lock as well: whoever reads the owner's mail is the owner. @throws DomainError `invalid-one-time-token`, the same for every reason. */
    async resetPassword(actor: Actor, token: string, newPassword: string): Promise<void> {
      const tokenHash = hashToken(token)
      // Looked at before the password is hashed: a guess must not cost more than a look.
      const about = await findTokenOwner(db, tokenHash, 'reset-password')
      if (about === undefined) throw invalidToken()
      const passwordHash = await hashNewPassword('/new_password', { chosen: newPassword, about })
      const ended = await write(actor, async (unit) => {
        const used = await consumeToken(unit.tx, tokenHash, 'reset-password')
        const user = used && (await findUser(unit.tx, used.userId))
        if (user === undefined) throw invalidToken()
        await unlock(unit.tx, user)
        unit.audit({ action: 'reset_password', resourceType: 'user', resourceId: user.id, clientId: user.client_id })
        return replacePassword(unit, user.id, { passwordHash })
      })
      await signOut.announce(ended)
    },

    /** @throws DomainError `incorrect-password`, `too-many-attempts`, `validation-failed` */
    async changePassword(principal: UserPrincipal, current: string, newPassword: string): Promise<void> {
      authorize(principal, 'write', { kind: 'account', userId: principal.userId })
      const { email, clientName, passwordHash: before } = await checkOwnPassword(principal, current)
      const about = { email, names: [clientName] }
      const passwordHash = await hashNewPassword('/new_password', { chosen: newPassword, about })
      const ended = await write(principal, async (unit) => {
        unit.audit({ action: 'change_password', resourceType: 'user', resourceId: principal.userId })
        return replacePassword(unit, principal.userId, { passwordHash, before }, principal.sessionId)
      })
      await signOut.announce(ended)
    },
  }
}

const invalidToken = () => new DomainError('invalid-one-time-token', 'Invalid password reset token')
