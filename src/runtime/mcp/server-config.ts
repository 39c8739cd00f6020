import { createHash } from 'node:crypto'
import { DomainError } from '~/platform/errors'
import { type StdioConfig, stdioFaults } from './stdio-rules'
import type { CatalogueServer, McpSelection, McpServer } from './types'

/** A server of an agent: who it is, and how it is reached. */
export interface SelectedServer {
  /** The same for as long as it is the same server: what was accepted is found by it. */
  key: string
  name: string
  trusted: boolean
  /** Names of the tools that the agent wants; undefined: all. */
  chosen: Set<string> | undefined
  /** @throws DomainError if it cannot be reached as it is configured */
  resolve(): McpServer
}

const PLACEHOLDER = /env@@([A-Za-z_][A-Za-z0-9_]{0,127})/g

/** From what an agent says to servers; an entry that the catalogue does not have any more is one that cannot be resolved. */
export function selectServers(selection: McpSelection, catalogue: CatalogueServer[], allowedCommands: readonly string[]): SelectedServer[] {
  const known = new Map(catalogue.map((server) => [server.id.toLowerCase(), server]))
  const listed = (selection.mcp_servers ?? []).map(({ id, envs = {}, tools = [] }): SelectedServer => {
    const entry = known.get(id.toLowerCase())
    return {
      key: `catalogue:${id.toLowerCase()}`,
      name: entry?.name ?? id,
      trusted: entry?.trusted ?? false,
      chosen: tools.length === 0 || entry === undefined ? undefined : chosenNames(tools, entry),
      resolve() {
        if (entry === undefined) throw new DomainError('not-found', 'It is no longer in the catalogue.')
        return toServer(entry.configJson, envs, allowedCommands)
      },
    }
  })
  const custom = (selection.custom_mcp_servers ?? []).map(
    ({ url, headers }): SelectedServer => ({
      key: `url:${createHash('sha256').update(url).digest('base64url')}`,
      name: URL.canParse(url) ? new URL(url).hostname : 'custom',
      trusted: false,
      chosen: undefined,
      resolve: () => ({ transport: 'http', url, headers: headers ?? {} }),
    }),
  )
  return [...new Map([...listed, ...custom].map((server) => [server.key, server])).values()]
}

/** The web frontend stores the ids of the catalogue's tools, others their names. */
const chosenNames = (tools: string[], { tools: listed }: CatalogueServer) =>
  new Set([...tools, ...listed.flatMap(({ id, name }) => (tools.includes(String(id)) && typeof name === 'string' ? [name] : []))])

/**
 * A catalogue entry with an agent's values in place of its `env@@NAME`: in the environment of a command, in the headers of a remote server.
 * `missing` stands in for values that nobody gave.
 * @throws DomainError `validation-failed` for a value that is missing, or a command that may not be started
 */
export function toServer(
  configJson: Record<string, unknown>,
  envs: Record<string, string>,
  allowedCommands: readonly string[],
  missing?: string,
): McpServer {
  const fill = (texts: Record<string, string>) =>
    Object.fromEntries(
      Object.entries(texts).map(([name, text]) => [
        name,
        text.replace(PLACEHOLDER, (_, variable: string) => {
          const value = Object.hasOwn(envs, variable) ? envs[variable] : missing
          if (value === undefined) throw new DomainError('validation-failed', `The environment variable ${variable} is not provided.`)
          return value
        }),
      ]),
    )
  if (typeof configJson.url === 'string' && configJson.url !== '')
    return { transport: 'http', url: configJson.url, headers: fill(textsOf(configJson.headers)) }
  const config: StdioConfig = {
    command: typeof configJson.command === 'string' ? configJson.command : 'npx',
    args: Array.isArray(configJson.args) ? configJson.args.map(String) : [],
    env: fill(textsOf(configJson.env)),
  }
  const [fault] = stdioFaults(config, allowedCommands)
  if (fault !== undefined) throw new DomainError('validation-failed', `${fault.pointer}: ${fault.message}`)
  return { transport: 'stdio', ...config }
}

const textsOf = (value: unknown): Record<string, string> =>
  value !== null && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([name, text]) => [name, String(text)])) : {}
