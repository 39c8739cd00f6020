import type { Conversation } from '~/features/chat/socket'
import { type ChatSockets, createChatSockets } from '~/features/chat/sockets'
import { originOf } from '~/platform/http/origin'
import { silentLog } from '~/platform/log'
import type { TestApp } from './start-app'

/** Chats of an agent on a port of their own, with the services of `app` and times that a test can wait for. */
export function serveSockets(
  { services, config }: TestApp,
  agentId: string,
  changes: Partial<Parameters<typeof createChatSockets>[0]> = {},
) {
  const sockets: ChatSockets = createChatSockets({
    ...services,
    log: silentLog,
    apiUrl: config.apiUrl,
    corsOrigins: [],
    authorizeWithinMs: 2000,
    checkAgainMs: 500,
    patienceMs: 500,
    maxFrameBytes: config.limits.uploadBytes,
    ...changes,
  })
  const server = Bun.serve<ReturnType<ChatSockets['admit']>, never>({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request, server) {
      const externalId = new URL(request.url).pathname.slice(1)
      const talk: Conversation = { agentId, externalId, origin: originOf(request), deltas: false, onDisconnect: 'continue' }
      return server.upgrade(request, { data: sockets.admit({ ...talk, webOrigin: null }) })
        ? undefined
        : new Response(null, { status: 400 })
    },
    error: () => new Response(null, { status: 503 }),
    websocket: {
      open: (ws) => ws.data.open(ws),
      message: (ws, message) => ws.data.message(ws, message),
      drain: (ws) => ws.data.drain(),
      close: (ws) => ws.data.close(),
      backpressureLimit: 268_435_456,
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}`,
    sockets,
    async stop() {
      sockets.close()
      await server.stop(true)
    },
  }
}
