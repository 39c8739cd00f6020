import { createHash, timingSafeEqual } from 'node:crypto'
import type { ServerWebSocket } from 'bun'
import type { Config } from '~/config'
import type { Log } from '~/platform/log'
import { ENDED, EXITED, RUNNER_PATH, STARTED } from '~/runtime/mcp/runner-protocol'
import type { StdioConfig } from '~/runtime/mcp/stdio-rules'
import { onStop, signalReady } from './child'
import type { Command } from './runner/command'
import { createCommands } from './runner/commands'

/** One caller's command, from the frame that names it to its end. */
interface Line {
  command?: Command
  starting?: true
  closed?: true
  drained?: () => void
}

const MAX_QUEUED_BYTES = 1024 * 1024

/**
 * The process that runs MCP servers which are commands, so that whatever they do is done to it alone. It has no access to the stores and no secret
 * but the token by which it knows its callers. One WebSocket is one command: the first frame names it, every other one is a message, and closing
 * the socket ends it.
 */
export async function runRunner({ host, port, mcp, limits }: Config, { log }: { log: Log }) {
  const commands = createCommands({
    allowedCommands: mcp.commands,
    path: process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin',
    authorities: process.env.NODE_EXTRA_CA_CERTS,
    maxCommands: mcp.maxCommands,
    maxSeconds: mcp.commandSeconds,
    maxRssBytes: mcp.commandMegabytes * 1024 * 1024,
    maxMessageBytes: limits.toolResponseBytes,
    log,
  })
  const isCaller = callerCheck(mcp.runnerToken ?? '')

  const server = Bun.serve<Line, never>({
    hostname: host,
    port,
    fetch(request, server) {
      const { pathname } = new URL(request.url)
      if (pathname === '/livez') return Response.json({ status: 'ok', commands: commands.count() })
      if (pathname !== RUNNER_PATH) return new Response(null, { status: 404 })
      if (!isCaller(request.headers.get('authorization') ?? '')) return new Response(null, { status: 401 })
      if (commands.isFull()) return new Response(null, { status: 503, headers: { 'retry-after': '5' } })
      return server.upgrade(request, { data: {} }) ? undefined : new Response(null, { status: 426 })
    },
    websocket: {
      maxPayloadLength: limits.toolResponseBytes * 2,
      backpressureLimit: limits.toolResponseBytes * 4,
      closeOnBackpressureLimit: true,
      idleTimeout: 120,
      sendPings: true,
      message(socket, frame) {
        const text = String(frame)
        if (socket.data.command !== undefined) socket.data.command.write(text)
        else if (socket.data.starting) socket.close(ENDED, 'a message came before the command had started')
        else void start(socket, text)
      },
      drain: (socket) => socket.data.drained?.(),
      close(socket) {
        socket.data.closed = true
        socket.data.drained?.()
        void socket.data.command?.end('its caller left')
      },
    },
  })

  async function start(socket: ServerWebSocket<Line>, text: string) {
    const line = socket.data
    line.starting = true
    try {
      const command = await commands.start(readConfig(text), {
        async onMessage(message) {
          socket.send(message)
          while (socket.getBufferedAmount() > MAX_QUEUED_BYTES && !line.closed)
            await new Promise<void>((resolve) => {
              line.drained = resolve
            })
        },
        onEnd: (reason, { byItself }) => socket.close(byItself ? EXITED : ENDED, reason),
      })
      if (line.closed) return void command.end('its caller left')
      line.command = command
      socket.send(STARTED)
    } catch (error) {
      socket.close(ENDED, error instanceof Error ? error.message.slice(0, 120) : 'it could not be started')
    }
  }

  onStop(async () => {
    await commands.close()
    await server.stop(true)
  })
  signalReady()
}

/** @throws Error */
function readConfig(text: string): StdioConfig {
  const config: unknown = JSON.parse(text)
  if (config === null || typeof config !== 'object') throw new Error('no command')
  const { command, args, env } = config as Partial<Record<keyof StdioConfig, unknown>>
  const isText = (value: unknown) => typeof value === 'string'
  if (!isText(command) || !Array.isArray(args) || !args.every(isText) || env === null || typeof env !== 'object')
    throw new Error('no command')
  if (!Object.values(env).every(isText)) throw new Error('no command')
  // Checked just now.
  return { command, args, env } as StdioConfig
}

/** In constant time, whatever is sent. */
function callerCheck(token: string) {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  const expected = digest(`Bearer ${token}`)
  return (given: string) => token !== '' && timingSafeEqual(digest(given), expected)
}
