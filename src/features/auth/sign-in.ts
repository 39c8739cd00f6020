import { type Credentials, findCredentials, findUser } from '~/features/users/queries'
import type { User } from '~/features/users/schema'
import type { Admission } from '~/platform/admission'
import type { Db } from '~/platform/db'
import { DomainError, notFound } from '~/platform/errors'
import type { Actor, UserPrincipal } from '~/platform/principal'
import type { Tokens } from '~/platform/tokens'
import type { Write } from '~/platform/unit-of-work'
import type { PasswordCheck } from './password-check'
import { insertAuthSession, revokeSession } from './queries'
import type { AccessToken } from './schema'

interface Deps {
  db: Db
  write: Write
  tokens: Tokens
  admission: Admission
  checkPassword: PasswordCheck
}

const HOUR_SECONDS = 3600
/** A sign-in outlives its access token by what refreshing may need. */
const SESSION_SECONDS = 30 * 24 * HOUR_SECONDS

export function createSignIn({ db, write, tokens, admission, checkPassword }: Deps) {
  const openSession = async (actor: Actor, user: Credentials): Promise<AccessToken> => {
    const sessionId = Bun.randomUUIDv7()
    const tokenId = Bun.randomUUIDv7()
    const access_token = await tokens.issue({ userId: user.id, sessionId, tokenId, isAdmin: user.isAdmin, clientId: user.clientId })
    await write(actor, async ({ tx, audit }) => {
      await insertAuthSession(tx, {
        id: sessionId,
        userId: user.id,
        address: actor.origin.address,
        userAgent: actor.origin.userAgent,
        expiresAt: new Date(Date.now() + SESSION_SECONDS * 1000),
      })
      audit({
        action: 'login',
        resourceType: 'user',
        resourceId: user.id,
        userId: user.id,
        clientId: user.clientId,
        details: { session_id: sessionId },
      })
    })
    return { access_token, token_type: 'bearer' }
  }

  return {
    /** @throws DomainError `invalid-credentials`, `too-many-attempts`; `email-not-verified` and `account-inactive` only after the right password. */
    async login(actor: Actor, email: string, password: string): Promise<AccessToken> {
      const user = await findCredentials(db, { email })
      const right = await checkPassword(actor, email, user, password)
      if (user === undefined || !right) throw new DomainError('invalid-credentials', 'Invalid email or password')
      if (!user.emailVerified) throw new DomainError('email-not-verified', 'Email not verified')
      if (!user.isActive) throw new DomainError('account-inactive', 'User account is inactive')
      return openSession(actor, user)
    },

    /** PostgreSQL first, which is the truth; the deny-list only makes other replicas know it sooner. */
    async logout(principal: UserPrincipal): Promise<void> {
      await write(principal, async ({ tx, audit }) => {
        await revokeSession(tx, principal.userId, principal.sessionId)
        audit({ action: 'logout', resourceType: 'user', resourceId: principal.userId, details: { session_id: principal.sessionId } })
      })
      await admission.deny(principal.userId, { sessionId: principal.sessionId })
    },

    async me(principal: UserPrincipal): Promise<User> {
      const user = await findUser(db, principal.userId)
      if (user === undefined) throw notFound('User')
      return user
    },
  }
}
