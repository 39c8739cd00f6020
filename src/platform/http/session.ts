import { Elysia } from 'elysia'
import type { RateClass } from '../admission'
import { bindTenant } from '../db'
import { DomainError } from '../errors'
import type { MachineKeyPrincipal, Origin, Principal, UserPrincipal } from '../principal'
import { type Rate, rateHeaders } from '../rates'
import { originOf } from './origin'

/** Told what is left of the caller's rate, for the answer's headers. */
export type Told = (rate: Rate) => void

export interface Authenticator {
  /** By an access token. @throws DomainError `invalid-token`, `rate-limited` */
  user(token: string, origin: Origin, rateClass?: RateClass, told?: Told): Promise<UserPrincipal>
  /** By an access token or a machine key. @throws DomainError `invalid-token`, `rate-limited` */
  caller(credential: string, origin: Origin, rateClass?: RateClass, told?: Told): Promise<UserPrincipal | MachineKeyPrincipal>
}

export type Session = ReturnType<typeof createSession>
export type OpenSession = ReturnType<typeof createOpenSession>

/**
 * Routes registered after `.use(session)` demand the access token of a person and see a typed `principal`; a program with a machine key gets 403.
 * A derive and not a macro's resolve, because it runs before validation: a stranger meets 401, never the schema.
 */
export const createSession = ({ authenticator }: { authenticator: Authenticator }) =>
  new Elysia({ name: 'session' })
    .derive({ as: 'scoped' }, ({ request, set }) => callerOf(authenticator, request, set))
    // A step of its own: by now the caller is known, so that the refusal is audited.
    .derive({ as: 'scoped' }, ({ principal }): { principal: UserPrincipal } => ({ principal: personOf(principal) }))

/** The same for routes that programs may call too: what a machine key opens is decided by its scopes. */
export const createOpenSession = ({ authenticator }: { authenticator: Authenticator }) =>
  new Elysia({ name: 'open-session' }).derive({ as: 'scoped' }, ({ request, set }) => callerOf(authenticator, request, set))

async function callerOf(authenticator: Authenticator, request: Request, set: { headers: object }) {
  const rateClass = request.method === 'GET' || request.method === 'HEAD' ? 'read' : 'write'
  const principal = await authenticator.caller(credentialOf(request), originOf(request), rateClass, tell(set))
  bindTenant(principal.clientId)
  return { principal }
}

/** Writes what is left of a rate into an answer, whatever becomes of it. What is said to somebody who is known is for no cache to keep. */
export const tell =
  (set: { headers: object }): Told =>
  (rate) =>
    void Object.assign(set.headers, { 'cache-control': 'no-store' }, rateHeaders(rate))

function personOf(principal: Principal): UserPrincipal {
  if (principal.kind !== 'user') throw new DomainError('forbidden', 'This is for people who sign in, not for keys.')
  return principal
}

/** The one credential of a request: an access token or machine key in the Authorization header, or a machine key in `x-api-key`. */
export function credentialOf(request: Request): string {
  const key = request.headers.get('x-api-key')
  // The key of an agent is for the routes that know agents' keys.
  if (key === null || !key.startsWith('evo_')) return bearerOf(request)
  if (request.headers.has('authorization')) throw new DomainError('invalid-request', 'Send exactly one credential.')
  return key
}

const BEARER = /^bearer (.*)$/i
const IN_QUERY = /[?&]access_token=/

/** RFC 6750 §2: one credential, in the Authorization header; a token in the URL would end up in logs. */
export function bearerOf(request: Request): string {
  const header = request.headers.get('authorization')
  const inQuery = IN_QUERY.test(request.url)
  if (header === null) throw new DomainError('unauthenticated', 'Not authenticated')
  if (inQuery || header.includes(',')) throw new DomainError('invalid-request', 'Send exactly one credential.')
  const [, token = ''] = BEARER.exec(header) ?? []
  if (token === '') throw new DomainError('unauthenticated', 'Not authenticated')
  if (token.includes(' ')) throw new DomainError('invalid-token', 'Invalid credentials')
  return token
}
