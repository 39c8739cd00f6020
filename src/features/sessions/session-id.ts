import { DomainError, invalid } from '~/platform/errors'
import { EXTERNAL_ID, EXTERNAL_ID_RULE } from '~/platform/external-id'
import { UUID_IN_ANY_CASE } from '~/platform/uuid'

/** @throws DomainError `validation-failed` for an external id that a new session cannot have. */
export function sessionIdOf(externalId: string, agentId: string): string {
  if (!EXTERNAL_ID.test(externalId)) throw invalid('/path/external_id', 'format', EXTERNAL_ID_RULE)
  return `${externalId}_${agentId.toLowerCase()}`
}

/** The agent's id is what follows the last underscore: imported sessions may have more of them. */
export function parseSessionId(sessionId: string): { externalId: string; agentId: string } {
  const at = sessionId.lastIndexOf('_')
  const agentId = sessionId.slice(at + 1)
  if (at < 1 || !UUID_IN_ANY_CASE.test(agentId))
    throw new DomainError('malformed-request', 'Invalid session ID. Expected format: app_name_user_id')
  return { externalId: sessionId.slice(0, at), agentId: agentId.toLowerCase() }
}
