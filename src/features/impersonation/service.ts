import type { SignOut } from '~/features/auth/sign-out'
import { authorize } from '~/platform/access'
import type { Db } from '~/platform/db'
import { notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import type { UserPrincipal } from '~/platform/principal'
import type { Tokens } from '~/platform/tokens'
import type { Unit, Write } from '~/platform/unit-of-work'
import { clientExists, countImpersonations, endImpersonation, findStandIn, insertImpersonation, listImpersonations } from './queries'
import type { Impersonation, ImpersonationToken } from './schema'

export type ImpersonationService = ReturnType<typeof createImpersonationService>

const MAX_SECONDS = 1800

interface Deps {
  db: Db
  write: Write
  tokens: Tokens
  signOut: SignOut
}

/** An admin acts as a person of a client, for half an hour at most, under both names, and stoppable. Whom they act as is never an admin. */
export const createImpersonationService = ({ db, write, tokens, signOut }: Deps) => ({
  /** @throws DomainError `forbidden`; `not-found` for the client, and when it has nobody who could sign in */
  async start(principal: UserPrincipal, clientId: string, reason: string | null): Promise<ImpersonationToken> {
    authorize(principal, 'write', { kind: 'platform' })
    const sessionId = Bun.randomUUIDv7()
    const seconds = Math.min(MAX_SECONDS, tokens.lifetimeSeconds)
    const user = await write(principal, async (unit) => {
      const { tx } = unit
      if (!(await clientExists(tx, clientId))) throw notFound('Client')
      const found = await findStandIn(tx, clientId)
      if (found === undefined) throw notFound('User associated with the client')
      const { address, userAgent } = principal.origin
      await insertImpersonation(tx, {
        id: sessionId,
        userId: found.id,
        address,
        userAgent,
        actorUserId: principal.userId,
        actorReason: reason,
        seconds,
      })
      auditBoth(unit, 'impersonate', { clientId, userId: found.id, actorUserId: principal.userId, sessionId, reason })
      return found
    })
    const access_token = await tokens.issue({
      userId: user.id,
      sessionId,
      tokenId: Bun.randomUUIDv7(),
      isAdmin: false,
      clientId,
      actorId: principal.userId,
      maxSeconds: seconds,
    })
    return { access_token, token_type: 'bearer', expires_in: seconds }
  },

  async list(principal: UserPrincipal, page: Page): Promise<{ items: Impersonation[]; total: number }> {
    authorize(principal, 'read', { kind: 'platform' })
    const [items, total] = await Promise.all([listImpersonations(db, page), countImpersonations(db)])
    return { items, total }
  },

  /** Effective on every replica with the next request. Ending one twice changes nothing. */
  async end(principal: UserPrincipal, sessionId: string): Promise<void> {
    authorize(principal, 'write', { kind: 'platform' })
    const { userId } = await write(principal, async (unit) => {
      const ended = await endImpersonation(unit.tx, sessionId)
      if (ended === undefined) throw notFound('Impersonation')
      const { clientId, actorUserId } = ended
      if (ended.now) auditBoth(unit, 'end_impersonation', { clientId, userId: ended.userId, actorUserId, sessionId })
      return ended
    })
    await signOut.announce([{ userId, sessionId }])
  },
})

interface Impersonated {
  clientId: string | null
  userId: string
  actorUserId: string | null
  sessionId: string
  reason?: string | null
}

/** One entry for the platform's log, one for the client's. */
function auditBoth({ audit }: Unit, action: string, { clientId, userId, actorUserId, sessionId, reason }: Impersonated) {
  const details = { session_id: sessionId, user_id: userId, actor_user_id: actorUserId, ...(reason == null ? {} : { reason }) }
  audit({ action, resourceType: 'client', resourceId: clientId, clientId: null, details })
  audit({ action, resourceType: 'user', resourceId: userId, clientId, details })
}
