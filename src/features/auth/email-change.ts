import { holdPassword, setEmail } from '~/features/users/queries'
import { authorize } from '~/platform/access'
import { type Db, sqlState } from '~/platform/db'
import { DomainError, invalid } from '~/platform/errors'
import type { Actor, UserPrincipal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import type { Links } from './links'
import { hashToken, issueToken } from './one-time-token'
import { incorrectPassword, type OwnPasswordCheck } from './password-check'
import { consumeToken, deleteTokens } from './queries'
import type { SignOut } from './sign-out'

interface Deps {
  db: Db
  write: Write
  links: Links
  linkKey: Buffer
  emailChangeSeconds: number
  checkOwnPassword: OwnPasswordCheck
  signOut: Pick<SignOut, 'announceChange'>
}

/** How a person signs in with another address from now on: asked for with the password, confirmed by the owner of the new one. */
export const createEmailChange = ({ db, write, links, linkKey, emailChangeSeconds, checkOwnPassword, signOut }: Deps) => ({
  /**
   * Asks for a link to the new address and a notice to the present one. Whether the address has an account already is not looked at here, so that the
   * answer cannot tell: the mail's writer looks, and the confirmation.
   * @throws DomainError `incorrect-password`, `too-many-attempts`, `rate-limited`
   */
  async requestEmailChange(principal: UserPrincipal, password: string, newEmail: string): Promise<void> {
    authorize(principal, 'write', { kind: 'account', userId: principal.userId })
    await links.admit(db, principal)
    const user = await checkOwnPassword(principal, password)
    if (newEmail.toLowerCase() === user.email) throw invalid('/new_email', 'unchanged', 'Is the address that you have already')
    await write(principal, async ({ tx, audit, mail }) => {
      const change = { newEmail: newEmail.toLowerCase(), formerEmail: user.email }
      const { id } = await issueToken(tx, {
        key: linkKey,
        userId: user.id,
        purpose: 'change-email',
        ttlSeconds: emailChangeSeconds,
        change,
      })
      if (!(await holdPassword(tx, user.id, user.passwordHash))) throw incorrectPassword()
      const request = { user_id: user.id, token_id: id }
      if (await links.allowsMail(tx, newEmail)) mail({ template: 'change-email', ...request })
      if (await links.allowsMail(tx, user.email)) mail({ template: 'email-change-requested', ...request })
      audit({ action: 'request_email_change', resourceType: 'user', resourceId: user.id, details: { to: change.newEmail } })
    })
  },

  /** The user stays signed in; links that were mailed to the former address die. @throws DomainError `invalid-one-time-token`, the same for every reason */
  async confirmEmailChange(actor: Actor, token: string): Promise<void> {
    const userId = await write(actor, async ({ tx, audit }) => {
      const used = await consumeToken(tx, hashToken(token), 'change-email')
      const changed = used !== undefined && used.newEmail !== null && (await setEmail(tx, used.userId, used.newEmail))
      if (!changed) throw invalidToken()
      await deleteTokens(tx, changed.id)
      const details = { to: changed.email }
      audit({ action: 'change_email', resourceType: 'user', resourceId: changed.id, clientId: changed.client_id, details })
      return changed.id
    }).catch((error) => {
      // Somebody else has the address by now.
      throw sqlState(error)?.code === '23505' ? invalidToken() : error
    })
    await signOut.announceChange(userId)
  },
})

const invalidToken = () => new DomainError('invalid-one-time-token', 'Invalid link')
