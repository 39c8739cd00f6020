import type { Admission } from '~/platform/admission'
import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import type { Authenticator } from '~/platform/http/session'
import type { UserPrincipal } from '~/platform/principal'
import type { AccessClaims, Tokens } from '~/platform/tokens'
import { findSignedIn, type SignedIn } from './queries'

/** Rights and account state are current data, so this is also how late a change may take effect. */
const FRESH_MS = 1000
const CACHE_SIZE = 10_000

interface Entry {
  user: Promise<SignedIn | undefined>
  readAt: number
}

/**
 * From a token to a principal: signature and claims, then in parallel the deny-list with the rate limit (Redis, one round trip)
 * and the account as it is now (PostgreSQL, at most a second old).
 */
export function createAuthenticator({ db, tokens, admission }: { db: Db; tokens: Tokens; admission: Admission }): Authenticator {
  const cache = new Map<string, Entry>()

  const signedIn = (claims: AccessClaims): Promise<SignedIn | undefined> => {
    const now = performance.now()
    const key = `${claims.sub}:${claims.sid}`
    const known = cache.get(key)
    if (known !== undefined && now - known.readAt < FRESH_MS) return known.user
    if (cache.size >= CACHE_SIZE) cache.clear()
    const entry = { user: findSignedIn(db, claims.sub, claims.sid), readAt: now }
    cache.set(key, entry)
    // A failed look-up is not remembered: the next request asks again.
    entry.user.catch(() => cache.delete(key))
    return entry.user
  }

  return {
    async user(token, origin, rateClass = 'request'): Promise<UserPrincipal> {
      const claims = await tokens.verify(token)
      const account = signedIn(claims)
      await admission.admit(claims.sub, rateClass, { tokenId: claims.jti, sessionId: claims.sid })
      const user = await account
      if (user === undefined || !isGood(user, claims)) throw new DomainError('invalid-token', 'Invalid credentials')
      return {
        kind: 'user',
        userId: claims.sub,
        email: user.email,
        isAdmin: user.isAdmin,
        role: user.isAdmin ? 'admin' : (user.role ?? 'viewer'),
        ...(user.actor === null ? {} : { actor: { userId: user.actor.userId, email: user.actor.email } }),
        clientId: user.clientId,
        tokenId: claims.jti,
        sessionId: claims.sid,
        origin,
      }
    },
  }
}

/** `iat` counts whole seconds: a token of the very second of a password change is refused too, unless it belongs to a later sign-in. */
const isGood = (user: SignedIn, { iat }: AccessClaims) =>
  user.isActive &&
  user.sessionId !== null &&
  user.revokedAt === null &&
  (user.actor === null || (user.actor.isActive && user.actor.isAdmin && !user.isAdmin)) &&
  (user.tokensNotBefore === null || iat + 1 > user.tokensNotBefore.getTime() / 1000)
