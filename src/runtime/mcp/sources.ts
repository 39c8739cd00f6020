import { createHash } from 'node:crypto'
import type { Clock } from '~/platform/clock'
import { DomainError } from '~/platform/errors'
import { conceal, secretsAmong } from '../tools/conceal'
import { type AgentTool, type OpenTools, type ToolSource, toolError } from '../tools/tool'
import { SessionLost } from './connection'
import { type Connections, keyOf, type Lease } from './connections'
import { type SelectedServer, selectServers } from './server-config'
import { nameTools } from './tool-names'
import type {
  CreateMcpSources,
  FindCatalogueServers,
  McpOwner,
  McpSelection,
  McpServer,
  McpTool,
  OfferedTool,
  ToolLists,
  ToolPins,
} from './types'

export interface McpSourcesDeps {
  connections: Connections
  findCatalogueServers: FindCatalogueServers
  pins: ToolPins
  lists: ToolLists
  allowedCommands: readonly string[]
  clock: Clock
}

/** What a server said lately; a command is not started again to hear the same. */
interface Heard {
  at: number
  tools?: OfferedTool[]
  failure?: DomainError
}

/** For so long a list is taken for true, whichever process has heard it. */
export const TOOLS_FRESH_MS = 300_000
const FAILURE_FRESH_MS = 10_000
const MAX_HEARD = 2000

export function createMcpSources({
  connections,
  findCatalogueServers,
  pins,
  lists,
  allowedCommands,
  clock,
}: McpSourcesDeps): CreateMcpSources {
  const heard = new Map<string, Heard>()

  const remember = (key: string, what: Heard) => {
    heard.delete(key)
    heard.set(key, what)
    const [oldest] = heard.keys()
    if (heard.size > MAX_HEARD && oldest !== undefined) heard.delete(oldest)
  }

  async function open(owner: McpOwner, selection: McpSelection, taken: Iterable<string>, signal: AbortSignal): Promise<OpenTools> {
    const ids = (selection.mcp_servers ?? []).map(({ id }) => id)
    const catalogue = ids.length === 0 ? [] : await findCatalogueServers(ids)
    const problems: string[] = []
    const lines = await Promise.all(
      selectServers(selection, catalogue, allowedCommands).map(async (selected) => {
        const line = createLine(owner, selected, signal)
        try {
          return { ...line, tools: await line.list() }
        } catch (error) {
          signal.throwIfAborted()
          if (!(error instanceof DomainError)) throw error
          problems.push(`The tools of MCP server "${selected.name}" are missing: ${error.message}`)
          return { ...line, tools: undefined }
        }
      }),
    )
    const close = async () => {
      await Promise.all(lines.map((line) => line.close()))
    }
    try {
      const pinned = await pins.check(
        owner,
        lines.map(({ selected: { key, name }, tools }) => ({ key, name, tools })),
      )
      const names = nameTools(
        lines.map(({ selected: { name, chosen } }, index) => ({
          server: name,
          tools: [...(pinned[index]?.accepted ?? [])].filter((tool) => chosen?.has(tool) ?? true),
        })),
        taken,
      )
      const tools = lines.flatMap((line, index) => {
        const { waiting = [] } = pinned[index] ?? {}
        const missed = waiting.filter((tool) => line.selected.chosen?.has(tool) ?? true)
        if (missed.length > 0)
          problems.push(
            `MCP server "${line.selected.name}" has tools that are new or changed and wait to be accepted: ${missed.join(', ')}`,
          )
        return (line.tools ?? []).flatMap((tool) => {
          const name = names[index]?.get(tool.name)
          return name === undefined ? [] : [toAgentTool(tool, name, line)]
        })
      })
      return { tools, problems, close }
    } catch (error) {
      await close()
      throw error
    }
  }

  /** One server for the time of one turn: connected when it has to be, and then once. */
  function createLine(owner: McpOwner, selected: SelectedServer, signal: AbortSignal) {
    let held: Promise<Lease> | undefined
    let server: McpServer | undefined
    const resolve = () => {
      server ??= selected.resolve()
      return server
    }
    const lease = (): Promise<Lease> => {
      held ??= connections.lease(owner, resolve(), signal).then(
        async (opened) => {
          const { tools } = opened
          const [key, at] = [keyOf(owner, resolve()), clock.now()]
          remember(key, { at, tools: tools.map(toOffered) })
          await lists.keep(key, { at, tools })
          return opened
        },
        (error) => {
          held = undefined
          throw error
        },
      )
      return held
    }
    const letGo = async () => {
      const opened = held
      held = undefined
      await opened?.then(
        ({ release }) => release(),
        () => undefined, // it was told to whoever asked for it
      )
    }
    return {
      selected,
      close: letGo,
      async list(): Promise<OfferedTool[]> {
        const key = keyOf(owner, resolve())
        const last = heard.get(key)
        const ageMs = clock.now() - (last?.at ?? Number.NEGATIVE_INFINITY)
        if (last?.tools !== undefined && ageMs < TOOLS_FRESH_MS) return last.tools
        if (last?.failure !== undefined && ageMs < FAILURE_FRESH_MS) throw last.failure
        const elsewhere = await lists.find(key)
        if (elsewhere !== undefined && clock.now() - elsewhere.at < TOOLS_FRESH_MS) {
          const tools = elsewhere.tools.map(toOffered)
          remember(key, { at: elsewhere.at, tools })
          return tools
        }
        try {
          return (await lease()).tools.map(toOffered)
        } catch (error) {
          if (error instanceof DomainError && !signal.aborted) remember(key, { at: clock.now(), failure: error })
          throw error
        }
      },
      /** Once more where the server has forgotten us: then it has not done anything yet. */
      async call(tool: OfferedTool, request: Parameters<Lease['connection']['call']>[0]): Promise<unknown> {
        for (let attempt = 1; ; attempt++) {
          const opened = await lease()
          const offered = opened.tools.map(toOffered)
          if (offered.find(({ name }) => name === tool.name)?.hash !== tool.hash) {
            await pins.check(owner, [{ key: selected.key, name: selected.name, tools: offered }])
            return toolError('The server has changed this tool; it waits to be accepted again.')
          }
          try {
            return await opened.connection.call(request)
          } catch (error) {
            if (opened.connection.isClosed()) await letGo()
            if (!(error instanceof SessionLost)) throw error
            if (attempt > 1) throw new DomainError('upstream-error', 'The MCP server keeps losing the session.', { cause: error })
          }
        }
      },
    }
  }

  return (owner, selection, taken = []) => {
    const names = [...(selection.mcp_servers ?? []), ...(selection.custom_mcp_servers ?? [])]
    const source: ToolSource = { name: 'mcp', open: (signal) => open(owner, selection, taken, signal) }
    return names.length === 0 ? [] : [source]
  }
}

const toOffered = (definition: McpTool): OfferedTool => ({
  name: definition.name,
  hash: createHash('sha256').update(canonical(definition)).digest('hex'),
  definition,
})

/** The same text for the same definition, in whatever order its keys came. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) =>
    part !== null && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )

type Line = { selected: SelectedServer; call(tool: OfferedTool, request: Parameters<Lease['connection']['call']>[0]): Promise<unknown> }

function toAgentTool(tool: OfferedTool, name: string, { selected, call }: Line): AgentTool {
  const { description, inputSchema, annotations } = tool.definition
  const effect = effectOf(annotations, selected.trusted)
  return {
    name,
    description,
    inputSchema,
    effect,
    async execute(args, { idempotencyKey, signal, keep }) {
      const server = selected.resolve()
      const secrets = secretsAmong(server.transport === 'http' ? server.headers : server.env)
      try {
        const request = { name: tool.name, args, signal, keep, ...(effect === 'read-only' ? {} : { idempotencyKey }) }
        return conceal(await call(tool, request), secrets)
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof DomainError) return conceal(toolError(error.message, error.problem), secrets)
        throw error
      }
    },
  }
}

/** Annotations are hints of whoever wrote the server: only whom an admin trusts can spare us the question what a second call would do. */
function effectOf({ readOnlyHint, idempotentHint }: McpTool['annotations'], trusted: boolean): AgentTool['effect'] {
  if (!trusted) return 'unsafe'
  if (readOnlyHint === true) return 'read-only'
  return idempotentHint === true ? 'idempotent' : 'unsafe'
}
