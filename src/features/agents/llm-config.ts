import { Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { DomainError, type FieldError, invalid } from '~/platform/errors'
import type { Outbound } from '~/platform/outbound'
import { isKnownModel } from '~/runtime/model/providers'
import { checkHttpTool, HttpToolSpec } from '~/runtime/tools/http-tool'

const Id = Type.String({ pattern: '^[0-9a-fA-F-]{36}$' })
const Texts = Type.Record(Type.String({ maxLength: 200 }), Type.String({ maxLength: 8000 }))
const optional = <T extends Parameters<typeof Type.Optional>[0]>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))

/** What an llm agent's config may say. Keys that we do not know are kept. */
const LlmConfig = Type.Object(
  {
    api_key: optional(Type.String({ maxLength: 200 })),
    tools: optional(Type.Array(Type.Object({ id: Id, envs: Type.Optional(Texts) }), { maxItems: 64 })),
    custom_tools: optional(Type.Object({ http_tools: optional(Type.Array(HttpToolSpec, { maxItems: 64 })) })),
    mcp_servers: optional(
      Type.Array(
        Type.Object({
          id: Id,
          envs: Type.Optional(Texts),
          tools: Type.Optional(Type.Array(Type.String({ maxLength: 200 }), { maxItems: 256 })),
        }),
        { maxItems: 32 },
      ),
    ),
    custom_mcp_servers: optional(
      Type.Array(Type.Object({ url: Type.String({ minLength: 1, maxLength: 2000 }), headers: optional(Texts) }), { maxItems: 32 }),
    ),
    agent_tools: optional(Type.Array(Id, { maxItems: 64 })),
    sub_agents: optional(Type.Array(Id, { maxItems: 64 })),
    workflow: optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { additionalProperties: true },
)

/** The keys that the API always shows, null when unset. */
export const LLM_CONFIG_KEYS = [
  'api_key',
  'tools',
  'custom_tools',
  'mcp_servers',
  'custom_mcp_servers',
  'agent_tools',
  'sub_agents',
  'workflow',
] as const

const compiled = TypeCompiler.Compile(LlmConfig)
const MAX_CONFIG_BYTES = 512 * 1024

/** @throws DomainError `validation-failed` with a pointer below `/config` for each fault. */
export function checkLlmConfig(config: Record<string, unknown>) {
  if (JSON.stringify(config).length > MAX_CONFIG_BYTES) throw invalid('/config', 'length', 'The config is larger than 512 KiB')
  if (compiled.Check(config)) return
  const errors: FieldError[] = []
  for (const { path, message } of compiled.Errors(config)) {
    if (errors.length >= 20) break
    errors.push({ pointer: `/config${path}`, code: 'invalid', message })
  }
  throw new DomainError('validation-failed', `config: ${errors[0]?.message ?? 'invalid'}`, { errors })
}

/** Each tool's address and headers, as far as they are known before a call. @throws DomainError `url-not-allowed`, `validation-failed` */
export function checkHttpTools(config: Record<string, unknown>, outbound: Outbound) {
  httpToolsOf(config).forEach((tool, index) => {
    checkHttpTool(tool, outbound, `/config/custom_tools/http_tools/${index}`)
  })
}

/** The HTTP tools of a config that `checkLlmConfig` has let pass. */
export const httpToolsOf = (config: Record<string, unknown>): HttpToolSpec[] =>
  (config as { custom_tools?: { http_tools?: HttpToolSpec[] | null } | null }).custom_tools?.http_tools ?? []

/** @throws DomainError `validation-failed` */
export function checkModel(model: string | null | undefined): string {
  if (model === null || model === undefined || model === '') throw invalid('/model', 'required', 'Model is required for llm type agents')
  if (!isKnownModel(model))
    throw invalid('/model', 'choice', 'The model must be named provider/model, with a provider that this server knows')
  return model
}
