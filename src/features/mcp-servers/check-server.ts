import { checkField, DomainError, invalid } from '~/platform/errors'
import type { Outbound } from '~/platform/outbound'
import { stdioFaults } from '~/runtime/mcp/stdio-rules'

/**
 * Whether an entry's `config_json` says how a server is reached, and only in ways that the operator allows: the presence of `url` decides which.
 * @throws DomainError `validation-failed`, `url-not-allowed`
 */
export function checkServer(
  configJson: Record<string, unknown>,
  { outbound, commands, configType }: { outbound: Outbound; commands: readonly string[]; configType?: string | undefined },
) {
  const { url, headers, command = 'npx', args = [], env = {} } = configJson
  const isRemote = configType === 'sse' && configJson.command === undefined
  if (isRemote || (url !== undefined && url !== null)) {
    if (typeof url !== 'string' || url === '') throw invalid('/config_json/url', 'required', 'URL is required')
    checkField('/config_json/url', () => outbound.check(url))
    if (headers !== undefined && headers !== null) outbound.checkHeaders(textsOf(headers, 'headers'), '/config_json/headers')
    return
  }
  if (typeof command !== 'string') throw invalid('/config_json/command', 'invalid', 'Must be the name of a command')
  if (!Array.isArray(args) || args.some((arg) => typeof arg !== 'string'))
    throw invalid('/config_json/args', 'invalid', 'Must be a list of texts')
  const errors = stdioFaults({ command, args, env: textsOf(env ?? {}, 'env') }, commands)
  if (errors.length > 0) throw new DomainError('validation-failed', `config_json: ${errors[0]?.message}`, { errors: errors.slice(0, 20) })
}

function textsOf(value: unknown, key: string): Record<string, string> {
  const isRecord = value !== null && typeof value === 'object' && !Array.isArray(value)
  if (isRecord && Object.values(value).every((text) => typeof text === 'string')) return value as Record<string, string>
  throw invalid(`/config_json/${key}`, 'invalid', 'Must map names to texts')
}
