import type { Admission, RateClass } from '../admission'
import { bindTenant } from '../db'
import { DomainError } from '../errors'
import type { Origin, Principal } from '../principal'
import { originOf } from './origin'
import { type Authenticator, bearerOf, credentialOf, type Told } from './session'

export interface CallerDeps {
  agents: {
    /** @throws DomainError `invalid-api-key` */
    openWithKey(agentId: string, key: string): Promise<{ clientId: string }>
  }
  authenticator: Authenticator
  admission: Admission
}

/** What a caller shows: an access token or machine key, the agent's own key, or both. */
export interface Credentials {
  /** Throws where there is none, or none that can be read. */
  token(): string
  hasToken: boolean
  key: string | null
}

interface Asked {
  agentId: string
  origin: Origin
  rateClass: RateClass
  told?: Told | undefined
}

/** Who talks to an agent, and whose rows they may touch: by an access token or machine key, else by the agent's own key in `x-api-key`. */
export const callerOf = (request: Request, agentId: string, deps: CallerDeps, told?: Told): Promise<Principal> =>
  identify(credentialsOf(request), { agentId, origin: originOf(request), rateClass: 'chat', told }, deps)

/** The same for who reads what belongs to an agent, which is looked up where it takes the agent to know them. */
export async function readerOf(
  request: Request,
  findAgent: () => Promise<string | undefined>,
  deps: CallerDeps,
  told: Told,
): Promise<Principal> {
  const credentials = credentialsOf(request)
  const agentId = (credentials.key === null ? undefined : await findAgent()) ?? NO_AGENT
  return identify(credentials, { agentId, origin: originOf(request), rateClass: 'read', told }, deps)
}

/** No key opens it. */
const NO_AGENT = '00000000-0000-0000-0000-000000000000'

function credentialsOf(request: Request): Credentials {
  const key = request.headers.get('x-api-key')
  return key?.startsWith('evo_')
    ? { token: () => credentialOf(request), hasToken: true, key: null }
    : { token: () => bearerOf(request), hasToken: request.headers.get('authorization') !== null, key }
}

/** The same where the agent's key may come as a bearer token too. */
export function agentCallerOf(request: Request, agentId: string, deps: CallerDeps, told?: Told): Promise<Principal> {
  if (request.headers.get('x-api-key') === null && request.headers.get('authorization') !== null) {
    const bearer = bearerOf(request)
    const isToken = bearer.startsWith('evo_') || bearer.split('.').length === 3
    const credentials = { token: () => bearer, hasToken: isToken, key: isToken ? null : bearer }
    return identify(credentials, { agentId, origin: originOf(request), rateClass: 'chat', told }, deps)
  }
  return callerOf(request, agentId, deps, told)
}

/** A token that fails leaves the word to the key, if there is one. */
export async function identify(credentials: Credentials, asked: Asked, deps: CallerDeps): Promise<Principal> {
  const principal = await find(credentials, asked, deps)
  bindTenant(principal.clientId)
  return principal
}

async function find(
  { token, hasToken, key }: Credentials,
  { agentId, origin, rateClass, told }: Asked,
  { agents, authenticator, admission }: CallerDeps,
): Promise<Principal> {
  if (key === null || hasToken) {
    try {
      return await authenticator.caller(token(), origin, rateClass, told)
    } catch (error) {
      if (key === null || !(error instanceof DomainError && error.problem === 'invalid-token')) throw error
    }
  }
  const { clientId } = await agents.openWithKey(agentId, key).catch(async (error) => {
    // Counted by address and not for the agent: who guesses keys must not keep those out who have one.
    if (error instanceof DomainError && error.problem === 'invalid-api-key') await admission.admitAddress(origin.address, 'refused')
    throw error
  })
  const { rate } = await admission.admit(`agent:${agentId}`, rateClass)
  told?.(rate)
  return { kind: 'agent-key', agentId, clientId, origin }
}
