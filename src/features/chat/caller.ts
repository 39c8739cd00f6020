import type { AgentService } from '~/features/agents/service'
import type { Admission, RateClass } from '~/platform/admission'
import { bindTenant } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import type { Authenticator } from '~/platform/http/session'
import type { Origin, Principal } from '~/platform/principal'

export interface CallerDeps {
  agents: AgentService
  authenticator: Authenticator
  admission: Admission
}

/** What a caller shows: an access token, the agent's own key, or both. */
export interface Credentials {
  /** Throws where there is none, or none that can be read. */
  token: () => string
  hasToken: boolean
  key: string | null
}

/** An access token, else the agent's own key; a token that fails leaves the word to the key, if there is one. */
export async function identify(
  { token, hasToken, key }: Credentials,
  { agentId, origin, rateClass }: { agentId: string; origin: Origin; rateClass: RateClass },
  { agents, authenticator, admission }: CallerDeps,
): Promise<Principal> {
  if (key === null || hasToken) {
    try {
      const principal = await authenticator.user(token(), origin, rateClass)
      bindTenant(principal.clientId)
      return principal
    } catch (error) {
      if (key === null || !(error instanceof DomainError && error.problem === 'invalid-token')) throw error
    }
  }
  await admission.admit(`agent:${agentId}`, rateClass)
  const { clientId } = await agents.openWithKey(agentId, key)
  bindTenant(clientId)
  return { kind: 'agent-key', agentId, clientId, origin }
}
