import {
  Client,
  type ClientOptions,
  SSEClientTransport,
  SseError,
  StreamableHTTPClientTransport,
  type Tool,
  type Transport,
} from '@modelcontextprotocol/client'
import { DomainError } from '~/platform/errors'
import type { Outbound } from '~/platform/outbound'
import { unlessAborted } from '~/platform/unless-aborted'
import type { KeepFile } from '../tools/tool'
import { toAnswer } from './answer'
import { failAtStreamEnd, isBroken, isSessionLost, toFailure } from './failure'
import { createGuardedFetch } from './guarded-fetch'
import { hasExited, type RunnerTransport } from './runner-transport'
import type { McpServer, McpTool, RemoteServer, StdioServer } from './types'

/** One server that is listening to us. */
export interface Connection {
  /** What it offered when the connection was made. */
  tools: McpTool[]
  /** What it offers now. @throws DomainError, or the signal's reason once that aborts */
  list(signal: AbortSignal): Promise<McpTool[]>
  /**
   * The tool's answer, or a `ToolError` if it says that it failed.
   * @throws DomainError, or the signal's reason once that aborts
   */
  call(request: {
    name: string
    args: Record<string, unknown>
    idempotencyKey?: string
    signal: AbortSignal
    keep: KeepFile | undefined
  }): Promise<unknown>
  /** Of no more use: ended by the other side, broken, or closed. */
  isClosed(): boolean
  close(): Promise<void>
}

/** The server has lost our session before it did what it was asked: another connection may be asked again. */
export class SessionLost extends Error {
  override name = 'SessionLost'
}

export interface DialDeps {
  outbound: Outbound
  /** How commands are reached. Undefined: there are none here. */
  stdio: ((server: StdioServer) => RunnerTransport) | undefined
  /** Until the server's tools are known. */
  connectTimeoutMs: number
  callTimeoutMs: number
  /** Of one answer. */
  maxBytes: number
  /** How long a connection may be kept. */
  maxAgeMs: number
}

export type Dial = (server: McpServer, signal: AbortSignal) => Promise<Connection>

const MAX_TOOLS = 256
const MAX_DEFINITION_LENGTH = 65_536
const CLOSE_MS = 1000
const MAX_OLD = 1000
/** As the older transport's servers name their endpoint. */
const SSE_PATH = /\/sse\/?$/

/** Connects, in whichever revision and by whichever transport the server speaks, and asks for its tools. */
export function createDial(deps: DialDeps): Dial {
  const { stdio, connectTimeoutMs } = deps

  async function connectRemote(server: RemoteServer, signal: AbortSignal): Promise<Connection> {
    deps.outbound.check(server.url)
    deps.outbound.checkHeaders(server.headers)
    const [first, second] = SSE_PATH.test(new URL(server.url).pathname) ? ([sse, streamable] as const) : ([streamable, sse] as const)
    try {
      return await connect(deps, first(deps, server), signal)
    } catch (error) {
      if (!(error instanceof Unconnected && error.fault === undefined && error.failure.problem === 'upstream-error')) throw error
      // What is said about the first is what its author expects to read.
      return connect(deps, second(deps, server), signal).catch(() => {
        throw error
      })
    }
  }

  /** Commands that are known to speak an older revision: they are not asked about the newest one, which some do not survive. */
  const old = new Set<string>()
  async function connectCommand(stdio: NonNullable<DialDeps['stdio']>, server: StdioServer, signal: AbortSignal): Promise<Connection> {
    const key = JSON.stringify([server.command, ...server.args])
    const open = (revision: Revision) => {
      const transport = stdio(server)
      return connect(deps, { transport, takeFault: transport.fault }, signal, revision)
    }
    // One that keeps silent does not know the question.
    const newest: Revision = { mode: 'auto', probe: { timeoutMs: connectTimeoutMs / 2 } }
    const connection = await open(old.has(key) ? OLD : newest).catch((error) => {
      if (!(error instanceof Unconnected && hasExited(error.fault))) throw error
      return open(OLD)
    })
    if (connection.isOld && old.size < MAX_OLD) old.add(key)
    return connection
  }

  return async (server, caller) => {
    const signal = AbortSignal.any([caller, AbortSignal.timeout(connectTimeoutMs)])
    try {
      if (server.transport === 'http') return await connectRemote(server, signal)
      if (stdio === undefined) throw new DomainError('validation-failed', 'MCP servers that are commands are turned off here.')
      return await connectCommand(stdio, server, signal)
    } catch (error) {
      caller.throwIfAborted()
      if (signal.aborted) throw new DomainError('upstream-timeout', 'The MCP server did not answer in time.', { cause: error })
      throw error instanceof Unconnected ? error.failure : toFailure(error)
    }
  }
}

class Unconnected extends Error {
  /** `fault`: not the server's word, but what kept it from us. */
  constructor(
    readonly failure: DomainError,
    readonly fault: DomainError | undefined,
  ) {
    super(failure.message)
  }
}

type Revision = NonNullable<ClientOptions['versionNegotiation']>
const OLD: Revision = { mode: 'legacy' }

interface Line {
  transport: Transport
  /** Why it failed, if it is not for something that the server said. */
  takeFault(): DomainError | undefined
}

const streamable = ({ outbound, callTimeoutMs, maxAgeMs, maxBytes }: DialDeps, server: RemoteServer): Line => {
  const guard = createGuardedFetch({ outbound, server, streams: false, timeoutMs: callTimeoutMs, streamMs: maxAgeMs, maxBytes })
  const transport = new StreamableHTTPClientTransport(new URL(server.url), { fetch: guard.fetch, requestInit: { redirect: 'error' } })
  return { transport: failAtStreamEnd(transport), takeFault: guard.takeFault }
}

const sse = ({ outbound, callTimeoutMs, maxAgeMs, maxBytes }: DialDeps, server: RemoteServer): Line => {
  const guard = createGuardedFetch({ outbound, server, streams: true, timeoutMs: callTimeoutMs, streamMs: maxAgeMs, maxBytes })
  const transport = new SSEClientTransport(new URL(server.url), { fetch: guard.fetch, requestInit: { redirect: 'error' } })
  return { transport, takeFault: guard.takeFault }
}

async function connect(
  { connectTimeoutMs, callTimeoutMs }: DialDeps,
  { transport, takeFault }: Line,
  signal: AbortSignal,
  versionNegotiation: Revision = { mode: 'auto' },
): Promise<Connection & { isOld: boolean }> {
  const client = new Client(
    { name: 'evo-ai', version: '1.0.0' },
    {
      // Nothing that a server could ask of us: no sampling, no elicitation, no roots.
      capabilities: {},
      versionNegotiation,
      inputRequired: { autoFulfill: false },
      listMaxPages: 8,
      // Its schemas are a stranger's: compiling their patterns is not for this process.
      jsonSchemaValidator: { getValidator: () => (input: unknown) => ({ valid: true, data: input as never, errorMessage: undefined }) },
    },
  )
  let closed = false
  client.onclose = () => {
    closed = true
  }
  // Of the older transport, whose answers come by one stream: it would be opened anew, as another session, and the calls under way would wait for their time.
  client.onerror = (error) => {
    if (SseError.isInstance(error)) void drop()
  }
  const drop = async () => {
    closed = true
    await Promise.race([client.close(), Bun.sleep(CLOSE_MS)]).catch(() => undefined) // it is gone either way
  }
  const close = async () => {
    // A server that has given us a session would keep it.
    if (!closed && transport instanceof StreamableHTTPClientTransport)
      await Promise.race([transport.terminateSession(), Bun.sleep(CLOSE_MS)]).catch(() => undefined) // it may not know how to
    await drop()
  }
  const offered = async (signal: AbortSignal) => {
    const { tools } = await unlessAborted(signal, client.listTools(undefined, { signal, timeout: connectTimeoutMs, cacheMode: 'refresh' }))
    return checkTools(tools)
  }
  try {
    await unlessAborted(signal, client.connect(transport, { signal, timeout: connectTimeoutMs }))
    const tools = await offered(signal)
    return { tools, list, call, isClosed: () => closed, close, isOld: client.getProtocolEra() === 'legacy' }
  } catch (error) {
    const reason = takeFault()
    await close()
    throw new Unconnected(toFailure(error, reason), reason)
  }

  async function list(signal: AbortSignal): Promise<McpTool[]> {
    try {
      return await offered(signal)
    } catch (error) {
      signal.throwIfAborted()
      throw toFailure(error, takeFault())
    }
  }

  async function call({ name, args, idempotencyKey, signal, keep }: Parameters<Connection['call']>[0]): Promise<unknown> {
    const meta = idempotencyKey === undefined ? {} : { _meta: { 'evo-ai/idempotency-key': idempotencyKey } }
    const answered = await client.callTool({ name, arguments: args, ...meta }, { signal, timeout: callTimeoutMs }).catch(async (error) => {
      signal.throwIfAborted()
      if (isSessionLost(error)) {
        await drop()
        throw new SessionLost('the session is gone', { cause: error })
      }
      if (isBroken(error)) await drop()
      throw toFailure(error, takeFault())
    })
    return toAnswer(answered, { tool: name, keep })
  }
}

/** What is stored, shown and sent to models has to be readable by them all. */
function checkTools(tools: Tool[]): McpTool[] {
  const refused = (reason: string) => new DomainError('upstream-error', `The MCP server offers ${reason}.`)
  if (tools.length > MAX_TOOLS) throw refused(`more than ${MAX_TOOLS} tools`)
  const checked = tools.map(({ name, description = '', inputSchema, annotations }) => {
    const tool = { name, description, inputSchema, annotations: toHints(annotations) }
    const text = JSON.stringify(tool)
    if (!TOOL_NAME.test(name) || UNREADABLE.test(text)) throw refused('a tool with a name or description that is not text')
    if (text.length > MAX_DEFINITION_LENGTH) throw refused('a tool whose description is too large')
    return tool
  })
  if (new Set(checked.map(({ name }) => name)).size < checked.length) throw refused('two tools of one name')
  return checked
}

const TOOL_NAME = /^[^\p{Cc}\p{Cs}]{1,200}$/u
/** NUL and lone surrogates, as JSON spells them. */
const UNREADABLE = /\\u(?:0000|[dD][89a-fA-F])/

const HINTS = ['readOnlyHint', 'idempotentHint', 'destructiveHint', 'openWorldHint'] as const

const toHints = (annotations: Tool['annotations'] = {}): McpTool['annotations'] =>
  Object.fromEntries(HINTS.flatMap((hint) => (annotations[hint] === undefined ? [] : [[hint, annotations[hint]]])))
