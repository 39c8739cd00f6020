import type { Config } from '~/config'
import type { AgentService } from '~/features/agents/service'
import type { ChatService } from '~/features/chat/service'
import { createChatSockets } from '~/features/chat/sockets'
import type { Authenticator } from '~/platform/http/session'
import type { Machinery } from './machinery'

const AUTHORIZE_WITHIN_MS = 5000
const CHECK_AGAIN_MS = 30_000
const PATIENCE_MS = 5000

/** The ways in which somebody may talk to an agent, beside plain requests. */
export function createFaces(
  { apiUrl, corsOrigins, limits }: Config,
  { log, admission }: Machinery,
  { authenticator, agents, chat }: { authenticator: Authenticator; agents: AgentService; chat: ChatService },
) {
  return {
    sockets: createChatSockets({
      agents,
      authenticator,
      admission,
      chat,
      log,
      apiUrl,
      corsOrigins,
      authorizeWithinMs: AUTHORIZE_WITHIN_MS,
      checkAgainMs: CHECK_AGAIN_MS,
      patienceMs: PATIENCE_MS,
      maxFrameBytes: limits.uploadBytes,
    }),
  }
}
