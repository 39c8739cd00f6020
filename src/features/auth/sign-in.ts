import type { SignedIn } from '~/features/sign-ins/schema'
import type { SignInService } from '~/features/sign-ins/service'
import { type Credentials, findCredentials, findUser, holdPassword } from '~/features/users/queries'
import type { User } from '~/features/users/schema'
import type { Db } from '~/platform/db'
import { DomainError, notFound } from '~/platform/errors'
import type { Actor, UserPrincipal } from '~/platform/principal'
import type { Unit, Write } from '~/platform/unit-of-work'
import { deriveToken, hashToken, issueToken } from './one-time-token'
import type { PasswordCheck } from './password-check'
import { consumeToken, findTokenOwner } from './queries'

/** Uses a code of the user's second factor up. Which kind it was; undefined for a wrong one. @throws DomainError `too-many-attempts` */
export type CodeCheck = (actor: Actor, user: { id: string; clientId: string | null }, code: string) => Promise<string | undefined>

interface Deps {
  db: Db
  write: Write
  linkKey: Buffer
  checkPassword: PasswordCheck
  checkCode: CodeCheck
  signIns: Pick<SignInService, 'start'>
}

type Within = (unit: Unit) => Promise<void>

/** Somebody set another password, hashed the same one anew or switched the user off after it was checked: then it is checked again. */
class PasswordReplaced extends Error {}

/** How long the second step may follow the first. */
const SECOND_STEP_SECONDS = 300

/** Signing in: with a password, and with a code of the second factor where the user has one. */
export function createSignIn({ db, write, linkKey, checkPassword, checkCode, signIns }: Deps) {
  /** The token of the second step is as good as the password was, and for nothing but a code. */
  const askForCode = (actor: Actor, { id, clientId }: Credentials, within: Within): Promise<DomainError> =>
    write(actor, async (unit) => {
      const { tx, audit } = unit
      const token = await issueToken(tx, { key: linkKey, userId: id, purpose: 'second-factor', ttlSeconds: SECOND_STEP_SECONDS })
      await within(unit)
      audit({ action: 'second_factor_asked', resourceType: 'user', resourceId: id, userId: id, clientId })
      const mfaToken = deriveToken(linkKey, token.id)
      return new DomainError('second-factor-required', 'A code of your second factor is needed.', { mfaToken })
    })

  /**
   * @throws DomainError `invalid-credentials`, `too-many-attempts`; and only after the right password `email-not-verified`, `account-inactive` and
   * `second-factor-required`, with the token for `loginWithCode`
   */
  async function login(actor: Actor, email: string, password: string): Promise<SignedIn> {
    const user = await findCredentials(db, { email })
    const hash = await checkPassword(actor, email, user, password)
    if (user === undefined || hash === undefined) throw new DomainError('invalid-credentials', 'Invalid email or password')
    refuseUnready(user)
    const within: Within = async ({ tx }) => {
      if (!(await holdPassword(tx, user.id, hash))) throw new PasswordReplaced()
    }
    try {
      if (user.hasSecondFactor) throw await askForCode(actor, user, within)
      return await signIns.start(actor, user, { within })
    } catch (error) {
      if (error instanceof PasswordReplaced) return login(actor, email, password)
      throw error
    }
  }

  return {
    login,

    /** @throws DomainError `invalid-one-time-token`, `invalid-credentials` for a wrong code, `too-many-attempts` */
    async loginWithCode(actor: Actor, mfaToken: string, code: string): Promise<SignedIn> {
      const tokenHash = hashToken(mfaToken)
      const owner = await findTokenOwner(db, tokenHash, 'second-factor')
      const user = owner && (await findCredentials(db, { id: owner.userId }))
      if (user === undefined) throw invalidToken()
      refuseUnready(user)
      const kind = await checkCode(actor, user, code)
      if (kind === undefined) throw new DomainError('invalid-credentials', 'Invalid code')
      return signIns.start(actor, user, {
        details: { second_factor: kind },
        async within({ tx }) {
          const isStillGood = await holdPassword(tx, user.id, user.passwordHash)
          if (!isStillGood || (await consumeToken(tx, tokenHash, 'second-factor')) === undefined) throw invalidToken()
        },
      })
    },

    async me(principal: UserPrincipal): Promise<User> {
      const user = await findUser(db, principal.userId)
      if (user === undefined) throw notFound('User')
      return user
    },
  }
}

function refuseUnready({ emailVerified, isActive }: Credentials) {
  if (!emailVerified) throw new DomainError('email-not-verified', 'Email not verified')
  if (!isActive) throw new DomainError('account-inactive', 'User account is inactive')
}

const invalidToken = () => new DomainError('invalid-one-time-token', 'The sign-in took too long. Start again with the password.')
