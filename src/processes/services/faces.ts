import type { Config } from '~/config'
import { createA2aService } from '~/features/a2a/service'
import type { AgentService } from '~/features/agents/service'
import type { ChatService } from '~/features/chat/service'
import { createChatSockets } from '~/features/chat/sockets'
import type { FileKeeper } from '~/features/files/keeper'
import type { RunService } from '~/features/runs/service'
import type { Authenticator } from '~/platform/http/session'
import type { Machinery } from './machinery'

const AUTHORIZE_WITHIN_MS = 5000
const CHECK_AGAIN_MS = 30_000
const PATIENCE_MS = 5000

interface Talkers {
  authenticator: Authenticator
  agents: AgentService
  chat: ChatService
  runs: RunService
  keeper: FileKeeper
}

/** The ways in which somebody may talk to an agent, beside plain requests. */
export function createFaces(
  { apiUrl, corsOrigins, limits, outboundAllow }: Config,
  { log, admission, db, write, secrets, outbound, room }: Machinery,
  { authenticator, agents, chat, runs, keeper }: Talkers,
) {
  return {
    a2a: createA2aService({ db, write, secrets, outbound, agents, chat, runs, keeper, apiUrl, plainHttpHosts: outboundAllow }),
    sockets: createChatSockets({
      agents: { openWithKey: agents.openChatWithKey },
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
      room,
    }),
  }
}
