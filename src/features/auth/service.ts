import type { SignedIn } from '~/features/sign-ins/schema'
import type { SignInService } from '~/features/sign-ins/service'
import {
  findCredentials,
  findUser,
  findUserByEmail,
  insertClient,
  insertUser,
  markVerified,
  replaceHash,
  setPassword,
} from '~/features/users/queries'
import type { User } from '~/features/users/schema'
import { authorize } from '~/platform/access'
import type { Db } from '~/platform/db'
import { DomainError, invalid, notFound } from '~/platform/errors'
import type { Passwords } from '~/platform/passwords/passwords'
import type { Actor, UserPrincipal } from '~/platform/principal'
import type { Unit, Write } from '~/platform/unit-of-work'
import { hashToken, issueToken } from './one-time-token'
import { consumeToken } from './queries'
import type { Registration } from './schema'
import type { EndedSession, SignOut } from './sign-out'

export type AuthService = ReturnType<typeof createAuthService>

interface Deps {
  db: Db
  write: Write
  passwords: Passwords
  signIns: Pick<SignInService, 'start'>
  signOut: SignOut
  /** Derives the links of mails. */
  linkKey: Buffer
  bcryptCost: number
  verifySeconds: number
  resetSeconds: number
}

const MAX_PASSWORD_BYTES = 512

export function createAuthService(deps: Deps) {
  const { db, write, passwords, signIns, signOut, linkKey, bcryptCost, verifySeconds, resetSeconds } = deps

  const sendLink = async ({ tx, mail }: Unit, userId: string, purpose: 'verify-email' | 'reset-password') => {
    const ttlSeconds = purpose === 'verify-email' ? verifySeconds : resetSeconds
    const { id } = await issueToken(tx, { key: linkKey, userId, purpose, ttlSeconds })
    mail({ template: purpose, user_id: userId, token_id: id })
  }

  /** Everybody who was signed in with the old password is signed out, except the one who changes it. Announce them after COMMIT. */
  const replacePassword = async (unit: Unit, userId: string, passwordHash: string, except?: string): Promise<EndedSession[]> => {
    await setPassword(unit.tx, userId, passwordHash)
    unit.mail({ template: 'password-changed', user_id: userId })
    return signOut.end(unit.tx, [userId], except)
  }

  return {
    /** The answer does not tell whether the address was known: its owner is told by mail. */
    async register(actor: Actor, { email, password, name }: Registration): Promise<User> {
      const passwordHash = await hashNew(passwords, '/password', password)
      return write(actor, async (unit) => {
        const { tx, audit, mail } = unit
        const known = await findUserByEmail(tx, email)
        const client = known === undefined ? await insertClient(tx, { name, email }) : undefined
        const user = client && (await insertUser(tx, { email, name, passwordHash, clientId: client.id }))
        if (user === undefined) {
          const owner = known ?? (await findUserByEmail(tx, email))
          if (owner !== undefined) mail({ template: 'already-registered', user_id: owner.id })
          audit({ action: 'register_refused', resourceType: 'user', resourceId: owner?.id ?? null, clientId: owner?.client_id ?? null })
          return pretended(email, name)
        }
        await sendLink(unit, user.id, 'verify-email')
        audit({ action: 'register', resourceType: 'user', resourceId: user.id, clientId: user.client_id })
        return user
      })
    },

    /** @throws DomainError `invalid-one-time-token`, the same for every reason. */
    verifyEmail: (actor: Actor, token: string): Promise<void> =>
      write(actor, async ({ tx, audit }) => {
        const userId = await consumeToken(tx, hashToken(token), 'verify-email')
        if (userId === undefined) throw new DomainError('invalid-one-time-token', 'Invalid verification token')
        await markVerified(tx, userId)
        const user = await findUser(tx, userId)
        audit({ action: 'verify_email', resourceType: 'user', resourceId: userId, clientId: user?.client_id ?? null })
      }),

    /** Silent about unknown and verified addresses. */
    resendVerification: (actor: Actor, email: string): Promise<void> =>
      write(actor, async (unit) => {
        const user = await findUserByEmail(unit.tx, email)
        if (user !== undefined && !user.email_verified) await sendLink(unit, user.id, 'verify-email')
      }),

    forgotPassword: (actor: Actor, email: string): Promise<void> =>
      write(actor, async (unit) => {
        const user = await findUserByEmail(unit.tx, email)
        if (user !== undefined) await sendLink(unit, user.id, 'reset-password')
      }),

    async resetPassword(actor: Actor, token: string, newPassword: string): Promise<void> {
      const passwordHash = await hashNew(passwords, '/new_password', newPassword)
      const ended = await write(actor, async (unit) => {
        const owner = await consumeToken(unit.tx, hashToken(token), 'reset-password')
        if (owner === undefined) throw new DomainError('invalid-one-time-token', 'Invalid password reset token')
        const sessions = await replacePassword(unit, owner, passwordHash)
        const user = await findUser(unit.tx, owner)
        unit.audit({ action: 'reset_password', resourceType: 'user', resourceId: owner, clientId: user?.client_id ?? null })
        return sessions
      })
      await signOut.announce(ended)
    },

    async changePassword(principal: UserPrincipal, current: string, newPassword: string): Promise<void> {
      authorize(principal, 'write', { kind: 'account', userId: principal.userId })
      const credentials = await findCredentials(db, { id: principal.userId })
      if (credentials === undefined) throw notFound('User')
      if (!(await passwords.verify(current, credentials.passwordHash)))
        throw new DomainError('incorrect-password', 'Current password is incorrect')
      const passwordHash = await hashNew(passwords, '/new_password', newPassword)
      const ended = await write(principal, async (unit) => {
        unit.audit({ action: 'change_password', resourceType: 'user', resourceId: principal.userId })
        return replacePassword(unit, principal.userId, passwordHash, principal.sessionId)
      })
      await signOut.announce(ended)
    },

    /** @throws DomainError `invalid-credentials`; `email-not-verified` and `account-inactive` only after the right password. */
    async login(actor: Actor, email: string, password: string): Promise<SignedIn> {
      const user = await findCredentials(db, { email })
      const right = user === undefined ? await passwords.verifyNothing(password) : await passwords.verify(password, user.passwordHash)
      if (user === undefined || !right || user.passwordExpired) throw new DomainError('invalid-credentials', 'Invalid email or password')
      if (!user.emailVerified) throw new DomainError('email-not-verified', 'Email not verified')
      if (!user.isActive) throw new DomainError('account-inactive', 'User account is inactive')
      if (costOf(user.passwordHash) !== bcryptCost) await replaceHash(db, user.id, user.passwordHash, await passwords.hash(password))
      return signIns.start(actor, user)
    },

    async me(principal: UserPrincipal): Promise<User> {
      const user = await findUser(db, principal.userId)
      if (user === undefined) throw notFound('User')
      return user
    },
  }
}

async function hashNew(passwords: Passwords, pointer: string, password: string): Promise<string> {
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) throw invalid(pointer, 'length', `Must have at most ${MAX_PASSWORD_BYTES} bytes`)
  return passwords.hash(password)
}

const costOf = (hash: string) => Number(hash.slice(4, 6))

/** What a new account would look like, for an address that has one. */
const pretended = (email: string, name: string): User => ({
  id: crypto.randomUUID(),
  email: email.toLowerCase(),
  name,
  is_active: false,
  is_admin: false,
  client_id: crypto.randomUUID(),
  email_verified: false,
  created_at: new Date().toISOString(),
  updated_at: null,
})
