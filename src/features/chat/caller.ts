import type { AgentService } from '~/features/agents/service'
import type { Admission, RateClass } from '~/platform/admission'
import { bindTenant } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import type { Authenticator, Told } from '~/platform/http/session'
import type { Origin, Principal } from '~/platform/principal'

export interface CallerDeps {
  agents: AgentService
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

/** An access token or machine key, else the agent's own key; a token that fails leaves the word to the key, if there is one. */
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
  const { clientId } = await agents.openWithKey(agentId, key, { shared: true }).catch(async (error) => {
    // Counted by address and not for the agent: who guesses keys must not keep those out who have one.
    if (error instanceof DomainError && error.problem === 'invalid-api-key') await admission.admitAddress(origin.address, 'refused')
    throw error
  })
  const { rate } = await admission.admit(`agent:${agentId}`, rateClass)
  told?.(rate)
  return { kind: 'agent-key', agentId, clientId, origin }
}
