import type { Principal } from '~/platform/principal'

/** Who asked for a run, as its row tells: kind and ids. */
export function callerOf(principal: Principal): Record<string, unknown> {
  if (principal.kind === 'agent-key') return { kind: 'agent-key', agent_id: principal.agentId }
  if (principal.kind === 'machine-key') return { kind: 'machine-key', key_id: principal.keyId }
  return { kind: 'user', user_id: principal.userId, ...(principal.actor === undefined ? {} : { actor_user_id: principal.actor.userId }) }
}
