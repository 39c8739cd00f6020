import type { HttpToolSpec } from '~/runtime/tools/http-tool'

/** The HTTP tools of a config that `checkAgent` has let pass. */
export const httpToolsOf = (config: Record<string, unknown>): HttpToolSpec[] =>
  (config as { custom_tools?: { http_tools?: HttpToolSpec[] | null } | null }).custom_tools?.http_tools ?? []
