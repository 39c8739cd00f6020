import type { Admission } from '~/platform/admission'
import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import type { Authenticator } from '~/platform/http/session'
import type { Log } from '~/platform/log'
import { createMarkedCache } from '~/platform/marked-cache'
import type { MachineKeyPrincipal, Origin, UserPrincipal } from '~/platform/principal'
import type { AccessClaims, Tokens } from '~/platform/tokens'
import { findSignedIn, noteSeen, type SignedIn } from './queries'

/** Rights and account state are current data: without a word from Redis this is how late a change may take effect. */
const CACHE = { freshMs: 1000, size: 10_000 }

export interface MachineKeys {
  looksLikeOne(credential: string): boolean
  /** How the key's rate and changes are counted; undefined for what cannot be a key. */
  subjectOf(credential: string): string | undefined
  /** As PostgreSQL has it now. */
  open(credential: string): Promise<Omit<MachineKeyPrincipal, 'kind' | 'origin'> | undefined>
}

interface Deps {
  db: Db
  tokens: Tokens
  admission: Admission
  machineKeys: MachineKeys
  log: Log
  /** Platform admins without a second factor can do nothing but set one up. */
  adminsNeedSecondFactor?: boolean
}

/**
 * From a credential to a principal: signature and claims, then side by side the deny-list with the rate limit (Redis, one round trip) and the account
 * as it is now (PostgreSQL, at most a second old, and not older than the last change that Redis was told of).
 */
export function createAuthenticator({ db, tokens, admission, machineKeys, log, adminsNeedSecondFactor = false }: Deps): Authenticator {
  const accounts = createMarkedCache<SignedIn | undefined>(CACHE)
  const keys = createMarkedCache<Awaited<ReturnType<MachineKeys['open']>>>(CACHE)

  const findAccount = async ({ sub, sid }: AccessClaims): Promise<SignedIn | undefined> => {
    const account = await findSignedIn(db, sub, sid)
    if (account?.isUnnoted) noteSeen(db, sid).catch((error) => log.warn('a sign-in was not noted as seen', { error }))
    return account
  }

  const byToken: Authenticator['user'] = async (token, origin, rateClass = 'read', told) => {
    const claims = await tokens.verify(token)
    const pass = admission.admit(claims.sub, rateClass, claims.sid)
    const account = await accounts.get(`${claims.sub}:${claims.sid}`, () => findAccount(claims), pass)
    told?.((await pass).rate)
    if (account === undefined || !isGood(account)) throw refused()
    const mustEnrol = !account.hasSecondFactor && account.actor === null && (account.secondFactorRequired ?? adminsNeedSecondFactor)
    return { ...personOf(account, claims, origin), ...(mustEnrol && { mustEnrol }) }
  }

  const byKey = async (...[key, origin, rateClass = 'read', told]: Parameters<Authenticator['caller']>): Promise<MachineKeyPrincipal> => {
    const subject = machineKeys.subjectOf(key)
    if (subject === undefined) throw refused()
    const pass = admission.admit(subject, rateClass, 'key')
    const opened = await keys.get(subject, () => machineKeys.open(key), pass)
    told?.((await pass).rate)
    if (opened === undefined) throw refused()
    return { kind: 'machine-key', ...opened, origin }
  }

  /** Whoever brings credentials that are none may do so for a while, and is then told to wait. */
  const counted = <T>(origin: Origin, attempt: Promise<T>): Promise<T> =>
    attempt.catch(async (error) => {
      if (error instanceof DomainError && error.problem === 'invalid-token') await admission.admitAddress(origin.address, 'refused')
      throw error
    })

  return {
    user: (token, origin, rateClass, told) => counted(origin, byToken(token, origin, rateClass, told)),
    caller: (credential, origin, rateClass, told) =>
      counted<UserPrincipal | MachineKeyPrincipal>(
        origin,
        machineKeys.looksLikeOne(credential) ? byKey(credential, origin, rateClass, told) : byToken(credential, origin, rateClass, told),
      ),
  }
}

const refused = () => new DomainError('invalid-token', 'Invalid credentials')

const personOf = (account: SignedIn, claims: AccessClaims, origin: Origin): UserPrincipal => ({
  kind: 'user',
  userId: claims.sub,
  email: account.email,
  isAdmin: account.isAdmin,
  role: account.isAdmin ? 'admin' : (account.role ?? 'viewer'),
  ...(account.actor === null ? {} : { actor: { userId: account.actor.userId, email: account.actor.email } }),
  clientId: account.clientId,
  tokenId: claims.jti,
  sessionId: claims.sid,
  origin,
})

/** A token is as good as its sign-in: what ends all of a user's ends each of them. */
const isGood = (user: SignedIn) =>
  user.isActive &&
  user.sessionId !== null &&
  user.revokedAt === null &&
  (user.actor === null || (user.actor.isActive && user.actor.isAdmin && !user.isAdmin))
