/**
 * How a runner is spoken to: one WebSocket is one command. The first frame is `{command, args, env}`, answered by `STARTED`; every other frame is one
 * message of JSON-RPC. The runner closes with the reason in words; closing the socket ends the command.
 */
export const RUNNER_PATH = '/mcp-commands'
export const STARTED = '{}'
/** In the range that is free (RFC 6455 §7.4.2): the command was ended, or ended by itself. */
export const ENDED = 4000
export const EXITED = 4001

export interface RunnerAddress {
  url: string
  token: string
}
