import type { OutboundRequest } from '~/platform/outbound'
import type { ToolValues } from './http-tool-input'
import type { HttpToolSpec } from './http-tool-spec'
import { hasPlaceholderInOrigin, replacePlaceholders } from './placeholders'

export type BuiltRequest = { request: Pick<OutboundRequest, 'url' | 'method' | 'headers' | 'body'> } | { fault: string }

/** One request from the tool's templates. Each value goes where a parameter of its name is declared, and into header placeholders. */
export function buildRequest(spec: HttpToolSpec, values: ToolValues): BuiltRequest {
  const url = buildUrl(spec, values)
  if ('fault' in url) return url
  const headers = buildHeaders(spec, values)
  if ('fault' in headers) return headers
  const body = Object.keys(spec.parameters?.body_params ?? {}).flatMap((name) => (values.has(name) ? [[name, values.get(name)]] : []))
  if (body.length > 0 && !Object.keys(headers.headers).some((name) => name.toLowerCase() === 'content-type'))
    headers.headers['Content-Type'] = 'application/json'
  return {
    request: {
      url: url.url,
      method: spec.method.toUpperCase(),
      headers: headers.headers,
      ...(body.length > 0 ? { body: JSON.stringify(Object.fromEntries(body)) } : {}),
    },
  }
}

function buildUrl({ endpoint, parameters }: HttpToolSpec, values: ToolValues): { url: string } | { fault: string } {
  if (hasPlaceholderInOrigin(endpoint)) return { fault: 'The endpoint has a placeholder within scheme, host or port' }
  const path = parameters?.path_params ?? {}
  const [target = ''] = replacePlaceholders(endpoint, (name) =>
    Object.hasOwn(path, name) && values.has(name) ? encodeURIComponent(textOf(values.get(name))) : undefined,
  ).split('#')
  // `..` as an argument would climb out of the configured path: no encoding protects it, URL parsers read `%2e%2e` alike.
  if (/(^|[/\\])(\.|%2e){1,2}([/\\]|$)/i.test(target.split('?')[0] ?? '')) return { fault: 'A path parameter is . or ..' }
  const query = new URLSearchParams()
  for (const [name, configured] of Object.entries(parameters?.query_params ?? {})) {
    if (Array.isArray(configured)) query.append(name, configured.map(textOf).join(','))
    else if (values.has(name)) query.append(name, textOf(values.get(name)))
    else if (configured !== null) query.append(name, textOf(configured))
  }
  if (query.size === 0) return { url: target }
  return { url: `${target}${target.includes('?') ? '&' : '?'}${query}` }
}

function buildHeaders({ headers, parameters }: HttpToolSpec, values: ToolValues): { headers: Record<string, string> } | { fault: string } {
  const { path_params, query_params, body_params } = parameters ?? {}
  const declared = new Set([path_params, query_params, body_params].flatMap((names) => Object.keys(names ?? {})))
  const filled: Record<string, string> = {}
  for (const [header, template] of Object.entries(headers ?? {})) {
    let missing: string | undefined
    const value = replacePlaceholders(template, (name) => {
      if (values.has(name)) return textOf(values.get(name))
      if (declared.has(name)) missing = name
      return undefined // braces that name nothing of ours are text
    })
    if (missing !== undefined) return { fault: `The header ${header} needs a value for ${missing}` }
    if (/[\r\n\0]/.test(value)) return { fault: `The header ${header} would hold a line break` }
    filled[header] = value
  }
  return { headers: filled }
}

/** Half a surrogate pair, which models may write, cannot be sent as UTF-8: it becomes what the journal makes of it too. */
const textOf = (value: unknown): string => {
  if (Array.isArray(value)) return value.map(textOf).join(',')
  return (typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value)).toWellFormed()
}
