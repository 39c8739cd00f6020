import { type JSONRPCMessage, parseJSONRPCMessage, type Transport } from '@modelcontextprotocol/client'
import { DomainError } from '~/platform/errors'
import { ENDED, EXITED, RUNNER_PATH, type RunnerAddress, STARTED } from './runner-protocol'
import type { StdioServer } from './types'

export interface RunnerTransport extends Transport {
  /** Why the command is over, if it is. */
  fault(): DomainError | undefined
}

/** A command at the runner, over one WebSocket: whole messages both ways, and the command ends with it. */
export function createRunnerTransport({ url, token }: RunnerAddress, { command, args, env }: StdioServer): RunnerTransport {
  let socket: WebSocket | undefined
  let fault: DomainError | undefined
  let isStarted = false
  let isClosed = false
  const started = Promise.withResolvers<void>()

  const open = (until: number) => {
    socket = new WebSocket(`${url.replace(/^http/, 'ws')}${RUNNER_PATH}`, { headers: { authorization: `Bearer ${token}` } })
    socket.onopen = () => socket?.send(JSON.stringify({ command, args, env }))
    socket.onmessage = ({ data }) => {
      isStarted = true
      started.resolve()
      if (String(data) !== STARTED) receive(String(data))
    }
    socket.onclose = ({ code, reason }) => {
      const isEnded = code === ENDED || code === EXITED
      if (!isEnded && !isStarted && !isClosed && performance.now() < until) return void setTimeout(() => !isClosed && open(until), RETRY_MS)
      fault = isEnded ? new CommandEnded(reason, code === EXITED) : new DomainError('upstream-error', isStarted ? LOST_RUNNER : NO_RUNNER)
      started.reject(fault)
      transport.onclose?.()
    }
  }

  const transport: RunnerTransport & Record<'stderr' | 'pid', null> = {
    // By these the SDK knows a command: one that keeps silent is asked in an older revision.
    stderr: null,
    pid: null,
    fault: () => fault,

    start() {
      open(performance.now() + PATIENCE_MS)
      return started.promise
    },

    async send(message: JSONRPCMessage) {
      if (socket?.readyState !== WebSocket.OPEN) throw fault ?? new DomainError('upstream-error', 'The MCP server does not run.')
      socket.send(JSON.stringify(message))
    },

    async close() {
      isClosed = true
      started.promise.catch(() => undefined) // nobody waits for it any more
      socket?.close()
    },
  }

  function receive(text: string) {
    try {
      transport.onmessage?.(parseJSONRPCMessage(JSON.parse(text)))
    } catch (error) {
      transport.onerror?.(error instanceof Error ? error : new Error(String(error)))
    }
  }

  return transport
}

class CommandEnded extends DomainError {
  constructor(
    reason: string,
    readonly byItself: boolean,
  ) {
    super('upstream-error', `The MCP server does not run: ${reason}.`)
  }
}

/** By itself, without having been made to. */
export const hasExited = (fault: DomainError | undefined) => fault instanceof CommandEnded && fault.byItself

/** One that died is back within a moment, and room may be made. */
const PATIENCE_MS = 3000
const RETRY_MS = 200

const NO_RUNNER = 'The runner of MCP servers cannot be reached, or has no room.'
const LOST_RUNNER = 'The runner of MCP servers was lost: what came of calls under way is unknown.'
