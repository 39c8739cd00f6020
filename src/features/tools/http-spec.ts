import { TypeCompiler } from '@sinclair/typebox/compiler'
import { checkField, DomainError, sentenceOf } from '~/platform/errors'
import type { Outbound } from '~/platform/outbound'
import { checkHttpTool, HttpToolSpec } from '~/runtime/tools/http-tool'
import type { Tool } from './schema'

const compiled = TypeCompiler.Compile(HttpToolSpec)
const PLACEHOLDER = /env@@([A-Za-z_][A-Za-z0-9_]{0,127})/g

type Named = Pick<Tool, 'name' | 'description' | 'config_json'>

/** An entry is an HTTP tool once it says where to; name and description are the entry's own where the spec has none. */
export function specOf({ name, description, config_json }: Named): HttpToolSpec | undefined {
  if (config_json.endpoint === undefined) return undefined
  const spec = { method: 'GET', name, description, ...config_json }
  return compiled.Check(spec) ? spec : undefined
}

/** @throws DomainError `validation-failed`, `url-not-allowed` */
export function checkSpec(tool: Named, outbound: Outbound): void {
  if (tool.config_json.endpoint === undefined) return
  const spec = { method: 'GET', name: tool.name, description: tool.description, ...tool.config_json }
  const ofTheEntry = (path: string) => ['/name', '/description'].includes(path) && !Object.hasOwn(tool.config_json, path.slice(1))
  const errors = [...compiled.Errors(spec)]
    .slice(0, 20)
    .map(({ path, message }) => ({ pointer: ofTheEntry(path) ? path : `/config_json${path}`, code: 'invalid', message }))
  const [first] = errors
  if (first !== undefined) throw new DomainError('validation-failed', sentenceOf(first), { errors })
  checkField('/config_json/endpoint', () => checkHttpTool(spec as HttpToolSpec, outbound, '/config_json'))
}

/** The spec with an agent's values in place of `env@@NAME`, in headers and values: an address is not made of secrets. Undefined if one is missing. */
export function bindSpec(spec: HttpToolSpec, envs: Record<string, string>): HttpToolSpec | undefined {
  let complete = true
  const fill = (text: string) =>
    text.replace(PLACEHOLDER, (whole, name: string) => {
      if (Object.hasOwn(envs, name)) return envs[name] ?? ''
      complete = false
      return whole
    })
  const filled = <T>(texts: Record<string, T>): Record<string, T> =>
    Object.fromEntries(Object.entries(texts).map(([name, value]) => [name, (typeof value === 'string' ? fill(value) : value) as T]))
  const bound: HttpToolSpec = {
    ...spec,
    ...(spec.headers ? { headers: filled(spec.headers) } : {}),
    ...(spec.values ? { values: filled(spec.values) } : {}),
  }
  return complete ? bound : undefined
}
