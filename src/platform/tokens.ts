import { createHash, hash } from 'node:crypto'
import { jwt } from '@elysiajs/jwt'
import { decodeProtectedHeader } from 'jose'
import { DomainError } from './errors'
import { remember } from './remember'
import { UUID } from './uuid'

/** What an access token says. Rights and account state are looked up anew: these are only for a quick first check and for the log. */
export interface AccessClaims {
  /** The user's id. */
  sub: string
  jti: string
  /** The sign-in that the token belongs to. */
  sid: string
  iat: number
  exp: number
  is_admin: boolean
  client_id: string | null
}

export interface TokenOptions {
  /** The first signs, all verify: put a new secret in front, drop the old one once its tokens have expired. */
  secrets: string[]
  issuer: string
  audience: string
  lifetimeSeconds: number
}

export type Tokens = ReturnType<typeof createTokens>

const TYPE = 'at+jwt' // RFC 9068 §2.1
const CACHE_SIZE = 10_000
/** Three non-empty canonical base64url parts, RFC 7515 §2: no padding, no white space, nothing else. */
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/
const MAX_LENGTH = 4096
const CLOCK_TOLERANCE_SECONDS = 60

/**
 * Access tokens: JWTs signed with HS256 and nothing else, all claims demanded (RFC 8725).
 * A token that has been verified is remembered by its hash until it expires, since its signature does not change; revocation is asked elsewhere, each time.
 */
export function createTokens({ secrets, issuer, audience, lifetimeSeconds }: TokenOptions) {
  const keys = new Map(
    secrets.map((secret) => [
      keyId(secret),
      jwt({ secret, alg: 'HS256', typ: TYPE, kid: keyId(secret), iss: issuer, aud: audience }).decorator.jwt,
    ]),
  )
  const signer = keys.values().next().value
  if (signer === undefined) throw new Error('createTokens needs a secret')
  const verified = new Map<string, AccessClaims>()

  return {
    lifetimeSeconds,

    async issue({
      userId,
      sessionId,
      tokenId,
      isAdmin,
      clientId,
      actorId,
      maxSeconds = lifetimeSeconds,
    }: {
      userId: string
      sessionId: string
      tokenId: string
      isAdmin: boolean
      clientId: string | null
      /** Who acts as the user: named as `act`, RFC 8693 §4.1. */
      actorId?: string
      /** A shorter life than usual. */
      maxSeconds?: number
    }): Promise<string> {
      const exp = Math.floor(Date.now() / 1000) + Math.min(maxSeconds, lifetimeSeconds)
      const own = { sid: sessionId, user_id: userId, is_admin: isAdmin, client_id: clientId }
      return signer.sign({ sub: userId, jti: tokenId, exp, ...own, ...(actorId === undefined ? {} : { act: { sub: actorId } }) })
    },

    /** At once for a token that is known. Rejects with DomainError `invalid-token`, for whatever reason, always the same. */
    verify(token: string): AccessClaims | Promise<AccessClaims> {
      if (token.length > MAX_LENGTH || !COMPACT.test(token)) return Promise.reject(refused())
      const key = hash('sha256', token, 'base64')
      const known = verified.get(key)
      if (known !== undefined) {
        if (known.exp > Date.now() / 1000) return known
        verified.delete(key)
        return Promise.reject(refused())
      }
      return checkAnew(token, key)
    },
  }

  async function checkAnew(token: string, key: string): Promise<AccessClaims> {
    const claims = await check(token)
    remember(verified, key, claims, CACHE_SIZE)
    return claims
  }

  async function check(token: string): Promise<AccessClaims> {
    if (!isCanonicalJws(token)) throw refused()
    const key = keys.get(kidOf(token))
    const payload = await key?.verify(token, {
      algorithms: ['HS256'],
      typ: TYPE,
      issuer,
      audience,
      requiredClaims: ['sub', 'jti', 'iat', 'exp', 'sid'],
      clockTolerance: 0,
    })
    if (!payload) throw refused()
    const claims = payload as unknown as Record<string, unknown>
    const now = Date.now() / 1000
    if (!isClaims(claims) || claims.exp - claims.iat > lifetimeSeconds || claims.iat > now + CLOCK_TOLERANCE_SECONDS) throw refused()
    return claims
  }
}

const refused = () => new DomainError('invalid-token', 'Invalid credentials')

/**
 * Whether a token is spelt in the one way that RFC 7515 §2 has. Libraries also take padding, white space and other base64, and the last character of a part
 * may carry bits that decode to nothing: so one token would have many spellings.
 */
export const isCanonicalJws = (token: string): boolean =>
  COMPACT.test(token) && token.split('.').every((part) => Buffer.from(part, 'base64url').toString('base64url') === part)

/** The name of the key that a header asks for; none for a header other than ours. Keys inside tokens (`jwk`, `jku`, `x5u`) are nobody's business. */
function kidOf(token: string): string {
  try {
    const { alg, typ, kid, ...others } = decodeProtectedHeader(token)
    return alg === 'HS256' && typ === TYPE && typeof kid === 'string' && Object.keys(others).length === 0 ? kid : ''
  } catch (cause) {
    throw new DomainError('invalid-token', 'Invalid credentials', { cause })
  }
}

/** Ids have to be such: they go into queries. */
const isId = (value: unknown): value is string => typeof value === 'string' && UUID.test(value)

const isClaims = (claims: Record<string, unknown>): claims is Record<string, unknown> & AccessClaims =>
  isId(claims.sub) &&
  isId(claims.jti) &&
  isId(claims.sid) &&
  Number.isSafeInteger(claims.iat) &&
  Number.isSafeInteger(claims.exp) &&
  typeof claims.is_admin === 'boolean' &&
  (claims.client_id === null || isId(claims.client_id))

/** Names a secret without telling anything about it. */
const keyId = (secret: string) => createHash('sha256').update(`kid:${secret}`).digest('base64url').slice(0, 12)
