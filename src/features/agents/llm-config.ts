import type { HttpToolSpec } from '~/runtime/tools/http-tool'

/** The HTTP tools of a config that `checkAgent` has let pass. */
export const httpToolsOf = (config: Record<string, unknown>): HttpToolSpec[] =>
  (config as { custom_tools?: { http_tools?: HttpToolSpec[] | null } | null }).custom_tools?.http_tools ?? []

/** The MCP servers of its own that such a config names. */
export const customServersOf = (config: Record<string, unknown>) =>
  (config as { custom_mcp_servers?: { url: string; headers?: Record<string, string> | null }[] | null }).custom_mcp_servers ?? []

/** With further HTTP tools behind its own; one that has the name of an own one is left out. */
export function withHttpTools(config: Record<string, unknown>, more: HttpToolSpec[]): Record<string, unknown> {
  const own = httpToolsOf(config)
  const names = new Set(own.map(({ name }) => name))
  const http_tools = [...own, ...more.filter(({ name }) => !names.has(name))]
  return { ...config, custom_tools: { ...Object(config.custom_tools), http_tools } }
}
