import type { SignOut } from '~/features/auth/sign-out'
import { authorize } from '~/platform/access'
import type { Db } from '~/platform/db'
import { DomainError, notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import type { Actor, Origin, UserPrincipal } from '~/platform/principal'
import type { Tokens } from '~/platform/tokens'
import type { Unit, Write } from '~/platform/unit-of-work'
import { countSignIns, endSignIn, insertSignIn, listSignIns, lockSignIn, type Refreshable, setRefreshed, tidySignIns } from './queries'
import { hashRefreshToken, type RefreshToken, type RefreshTokens } from './refresh-token'
import type { SignedIn, SignIn } from './schema'

export type SignInService = ReturnType<typeof createSignInService>

interface Deps {
  db: Db
  write: Write
  tokens: Tokens
  refreshTokens: RefreshTokens
  signOut: SignOut
  /** The longest that a sign-in lasts, however often it is refreshed. */
  lifeSeconds: number
  /** It ends when it was not refreshed for so long. */
  idleSeconds: number
  /** A token that was just used gives its successor once more: for a second tab, or an answer that was lost. */
  overlapSeconds: number
}

/** The newest sign-ins that a user keeps. */
const MAX_SIGN_INS = 100

interface Subject {
  id: string
  clientId: string | null
  isAdmin: boolean
}

export function createSignInService(deps: Deps) {
  const { db, write, tokens, refreshTokens, signOut, lifeSeconds, idleSeconds, overlapSeconds } = deps

  const answer = async (sessionId: string, { id, clientId, isAdmin }: Subject, refreshToken: RefreshToken): Promise<SignedIn> => ({
    access_token: await tokens.issue({ userId: id, sessionId, tokenId: Bun.randomUUIDv7(), isAdmin, clientId }),
    token_type: 'bearer',
    expires_in: tokens.lifetimeSeconds,
    refresh_token: refreshToken.text,
  })

  return {
    /**
     * Lets a user in who has shown who they are, and audits it. What has to be committed with it goes into `within`, which may run more than once.
     * @param details more for the audit entry: how they showed it, say
     */
    async start(
      actor: Actor,
      user: Subject,
      { within, details }: { within?: (unit: Unit) => Promise<void>; details?: Record<string, unknown> } = {},
    ): Promise<SignedIn> {
      const sessionId = Bun.randomUUIDv7()
      const token = refreshTokens.first(sessionId)
      const signedIn = await answer(sessionId, user, token)
      await write(actor, async (unit) => {
        await within?.(unit)
        const { address, userAgent } = actor.origin
        const isStrange = await insertSignIn(unit.tx, {
          id: sessionId,
          userId: user.id,
          address,
          userAgent,
          refreshHash: hashRefreshToken(token),
          seconds: lifeSeconds,
        })
        if (isStrange) unit.mail({ template: 'new-sign-in', user_id: user.id, session_id: sessionId })
        await tidySignIns(unit.tx, user.id, MAX_SIGN_INS)
        unit.audit({ action: 'login', ...ofUser(user), details: { ...details, session_id: sessionId } })
      })
      return signedIn
    },

    /**
     * A new access token and the next refresh token; the given one is used up. Used again, it ends the sign-in: somebody else has it.
     * @throws DomainError `invalid-token`, for whatever reason, always the same
     */
    async refresh(actor: Actor, text: string): Promise<SignedIn> {
      const token = refreshTokens.read(text)
      if (token === undefined) throw refused()
      const { sessionId } = token
      const next = refreshTokens.next(token)
      const outcome = await write(actor, async (unit) => {
        const row = await lockSignIn(unit.tx, sessionId, idleSeconds)
        const verdict = judge(row, token, next, overlapSeconds)
        if (row === undefined || verdict === 'refuse') return undefined
        const user = { id: row.userId, clientId: row.clientId, isAdmin: row.isAdmin }
        if (verdict === 'reuse') {
          await endSignIn(unit.tx, row.userId, sessionId, { own: true })
          unit.audit({ action: 'refresh_reuse', ...ofUser(user), details: { session_id: sessionId, generation: token.generation } })
        } else if (verdict === 'rotate') await setRefreshed(unit.tx, sessionId, refreshedBy(actor.origin, next))
        return { user, isReuse: verdict === 'reuse' }
      })
      if (outcome === undefined) throw refused()
      if (outcome.isReuse) {
        await signOut.announce([{ userId: outcome.user.id, sessionId }])
        throw refused()
      }
      return answer(sessionId, outcome.user, next)
    },

    async list(principal: UserPrincipal, page: Page): Promise<{ items: SignIn[]; total: number }> {
      authorize(principal, 'read', { kind: 'account', userId: principal.userId })
      const { userId, sessionId } = principal
      const [rows, total] = await Promise.all([listSignIns(db, userId, idleSeconds, page), countSignIns(db, userId, idleSeconds)])
      return { items: rows.map((row) => ({ ...row, is_current: row.id === sessionId })), total }
    },

    /** The sign-in that the request belongs to. */
    end: (principal: UserPrincipal): Promise<void> => end(principal, principal.sessionId, 'logout', { own: false }),

    /** One of the own sign-ins, on whatever device. @throws DomainError `not-found` */
    async endOne(principal: UserPrincipal, id: string): Promise<void> {
      authorize(principal, 'write', { kind: 'account', userId: principal.userId })
      await end(principal, id, 'end_session', { own: true })
    },

    /** All own sign-ins, this one too. */
    async endAll(principal: UserPrincipal): Promise<void> {
      authorize(principal, 'write', { kind: 'account', userId: principal.userId })
      const ended = await write(principal, async ({ tx, audit }) => {
        const sessions = await signOut.end(tx, [principal.userId])
        audit({ action: 'logout_all', resourceType: 'user', resourceId: principal.userId, details: { sessions: sessions.length } })
        return sessions
      })
      await signOut.announce(ended)
    },
  }

  /** PostgreSQL first, which is the truth; the deny-list makes the other replicas know it with their next request. */
  async function end(principal: UserPrincipal, sessionId: string, action: string, whose: { own: boolean }) {
    const { userId } = principal
    await write(principal, async ({ tx, audit }) => {
      const ended = await endSignIn(tx, userId, sessionId, whose)
      if (!ended && whose.own) throw notFound('Session')
      // Signing out twice at once is signing out.
      if (ended) audit({ action, resourceType: 'user', resourceId: userId, details: { session_id: sessionId } })
    })
    await signOut.announce([{ userId, sessionId }])
  }
}

const refused = () => new DomainError('invalid-token', 'Invalid credentials')

const ofUser = ({ id, clientId }: Subject) => ({ resourceType: 'user', resourceId: id, userId: id, clientId })

const refreshedBy = ({ address, userAgent }: Origin, next: RefreshToken) => ({
  refreshHash: hashRefreshToken(next),
  refreshGeneration: next.generation,
  address,
  userAgent,
})

/** `again`: this token was the last one to be used, a moment ago, and what followed from it is still the newest. */
function judge(row: Refreshable | undefined, token: RefreshToken, next: RefreshToken, overlapSeconds: number) {
  if (row === undefined || !row.isGood || row.hash === null) return 'refuse'
  if (row.hash.equals(hashRefreshToken(token))) return 'rotate'
  if (!token.isSealed || token.generation >= row.generation) return 'refuse'
  return row.ageSeconds < overlapSeconds && row.hash.equals(hashRefreshToken(next)) ? 'again' : 'reuse'
}
