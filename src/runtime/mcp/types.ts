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

/** The tools of an agent's servers, one source for each server. Nothing is connected before a source is opened. */
export type CreateMcpSources = (owner: McpOwner, selection: McpSelection) => Promise<ToolSource[]>

/**
 * Asks a server for its tools, for the catalogue: `envs` are the values of the entry's `env@@NAME`.
 * @throws DomainError `upstream-error`, `upstream-timeout`, `url-not-allowed`, `validation-failed`
 */
export type DiscoverTools = (
  server: { configJson: Record<string, unknown>; envs?: Record<string, string> },
  signal?: AbortSignal,
) => Promise<McpTool[]>
