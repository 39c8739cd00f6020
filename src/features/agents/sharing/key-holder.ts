import type { Admission } from '~/platform/admission'
import { bindTenant } from '~/platform/db'
import { originOf } from '~/platform/http/origin'
import { type Authenticator, credentialOf } from '~/platform/http/session'
import type { Principal } from '~/platform/principal'
import type { AgentService } from '../service'

export interface KeyHolderDeps {
  agents: Pick<AgentService, 'openWithKey'>
  authenticator: Authenticator
  admission: Admission
}

/** Whoever shows a key of the agent; without one, whoever is signed in. */
export async function keyHolder(
  request: Request,
  agentId: string,
  { agents, authenticator, admission }: KeyHolderDeps,
): Promise<Principal> {
  const origin = originOf(request)
  const key = request.headers.get('x-api-key')
  const principal =
    key === null || key.startsWith('evo_') ? await authenticator.caller(credentialOf(request), origin, 'read') : await withKey(key)
  bindTenant(principal.clientId)
  return principal

  async function withKey(given: string): Promise<Principal> {
    await admission.admit(`agent:${agentId}`, 'read')
    const { clientId } = await agents.openWithKey(agentId, given, { shared: true })
    return { kind: 'agent-key', agentId, clientId, origin }
  }
}
