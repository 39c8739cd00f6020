import type { ToolSource } from '../tools/tool'

/** A server as it is reached, its secrets in place. */
export type McpServer = RemoteServer | StdioServer

/** Anybody's: reached through the outbound guard, with these headers and no credentials of ours or the caller's. */
export interface RemoteServer {
  transport: 'http'
  url: string
  headers: Record<string, string>
}

/** A command on a host of ours, started by the runner: only what an admin has put into the catalogue. */
export interface StdioServer {
  transport: 'stdio'
  command: string
  args: string[]
  /** All of its environment but what the runner sets itself. */
  env: Record<string, string>
}

/** A tool as its server describes it. Everything in it is the server's word: data, never instructions. */
export interface McpTool {
  name: string
  description: string
  /** A JSON Schema of type `object`. */
  inputSchema: object
  annotations: { readOnlyHint?: boolean; idempotentHint?: boolean; destructiveHint?: boolean; openWorldHint?: boolean }
}

/** A catalogue entry, as far as running needs it. */
export interface CatalogueServer {
  id: string
  name: string
  /** `{url, headers}` for a remote one, `{command, args, env}` for one of the runner's: the presence of `url` decides. */
  configJson: Record<string, unknown>
  /** What the catalogue says about its tools: agents may choose by these ids. */
  tools: { id?: unknown; name?: unknown }[]
  /** What its tools say about themselves (read-only, idempotent) is believed. */
  trusted: boolean
}

/** What an agent's config says about MCP. */
export interface McpSelection {
  mcp_servers?: { id: string; envs?: Record<string, string>; tools?: string[] }[] | null
  custom_mcp_servers?: { url: string; headers?: Record<string, string> | null }[] | null
}

/** Whose agent it is: connections and accepted definitions belong to it alone. */
export interface McpOwner {
  clientId: string
  agentId: string
}

/** The catalogue entries of these ids, as far as there are any. */
export type FindCatalogueServers = (ids: string[]) => Promise<CatalogueServer[]>

/**
 * The tools of an agent's MCP servers, as one source: none where there is no server. Nothing is connected before it is opened. `taken` are names
 * that the agent's other tools have: an MCP tool never gets one of them.
 */
export type CreateMcpSources = (owner: McpOwner, selection: McpSelection, taken?: Iterable<string>) => ToolSource[]

/** A tool of one of an agent's servers, by the hash of its whole definition. */
export interface OfferedTool {
  name: string
  hash: string
  definition: McpTool
}

/** What a server offered, and when. */
export interface HeardTools {
  at: number
  tools: McpTool[]
}

/** What servers offered lately to whatever process; may forget it at any time. `server` names one with all that it is reached with, and for whom. */
export interface ToolLists {
  find(server: string): Promise<HeardTools | undefined>
  keep(server: string, heard: HeardTools): Promise<void>
}

/**
 * Which definitions an agent's owner knows. A server's tools are accepted as they are when they are first seen; what changes or comes later waits
 * until somebody has accepted it.
 */
export interface ToolPins {
  /** `tools` undefined: the server is not at hand; what is known of it tells its names. */
  check(owner: McpOwner, servers: { key: string; name: string; tools: OfferedTool[] | undefined }[]): Promise<PinnedServer[]>
}

/** In the order of the servers that were asked about. */
export interface PinnedServer {
  /** Names of the tools that were accepted just as they are offered; of a server that is not at hand, as they were last seen. */
  accepted: Set<string>
  /** Names of the tools that are new or not as they were, and wait to be accepted. */
  waiting: string[]
}

/**
 * Asks a server for its tools, for the catalogue: `envs` are the values of the entry's `env@@NAME`.
 * @throws DomainError `upstream-error`, `upstream-timeout`, `url-not-allowed`, `validation-failed`
 */
export type DiscoverTools = (
  server: { configJson: Record<string, unknown>; envs?: Record<string, string> },
  signal?: AbortSignal,
) => Promise<McpTool[]>
