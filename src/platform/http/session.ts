import { Elysia } from 'elysia'
import type { RateClass } from '../admission'
import { bindTenant } from '../db'
import { DomainError } from '../errors'
import type { Origin, UserPrincipal } from '../principal'
import { originOf } from './origin'

export interface Authenticator {
  /** @throws DomainError `invalid-token`, `rate-limited` */
  user(token: string, origin: Origin, rateClass?: RateClass): Promise<UserPrincipal>
}

export type Session = ReturnType<typeof createSession>

/**
 * Routes registered after `.use(session)` demand a valid access token and see a typed `principal`.
 * A derive and not a macro's resolve, because it runs before validation: a stranger meets 401, never the schema.
 */
export const createSession = ({ authenticator }: { authenticator: Authenticator }) =>
  new Elysia({ name: 'session' }).derive({ as: 'scoped' }, async ({ request }): Promise<{ principal: UserPrincipal }> => {
    const principal = await authenticator.user(bearerOf(request), originOf(request))
    bindTenant(principal.clientId)
    return { principal }
  })

/** RFC 6750 §2: one credential, in the Authorization header; a token in the URL would end up in logs. */
export function bearerOf(request: Request): string {
  const header = request.headers.get('authorization')
  const inQuery = /[?&]access_token=/.test(request.url)
  if (header === null) throw new DomainError('unauthenticated', 'Not authenticated')
  if (inQuery || header.includes(',')) throw new DomainError('invalid-request', 'Send exactly one credential.')
  const [scheme, token, ...rest] = header.split(' ')
  if (scheme?.toLowerCase() !== 'bearer' || token === undefined || token === '' || rest.length > 0)
    throw new DomainError('unauthenticated', 'Not authenticated')
  return token
}
