import { type TObject, type TSchema, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { type ValueError, ValueErrorType } from '@sinclair/typebox/errors'
import { ABSENT, type FieldError } from '~/platform/errors'
import { HttpToolSpec } from '~/runtime/tools/http-tool'
import type { AgentType } from './table'

export type Config = Record<string, unknown>

const ID = '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$'
const Id = Type.String({ pattern: ID, error: 'Must be a UUID' })
const Texts = Type.Record(Type.String({ maxLength: 200 }), Type.String({ maxLength: 8000 }), { maxProperties: 100 })
const orNull = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))
const list = <T extends TSchema>(schema: T, maxItems: number) =>
  Type.Array(schema, { maxItems, error: `Must be a list of at most ${maxItems}` })

const MAX_AGENTS = 64
const MAX_ITERATIONS = 100
const MAX_TASKS = 64
const MAX_NODES = 500
const MAX_EDGES = 2000
/** Seven days: a workflow may wait for somebody. */
const MAX_TIMEOUT_SECONDS = 604_800

const timeout = orNull(Type.Number({ minimum: 1, maximum: MAX_TIMEOUT_SECONDS, error: `Must be 1 to ${MAX_TIMEOUT_SECONDS} seconds` }))
const common = {
  api_key: orNull(Type.String({ maxLength: 200 })),
  sub_agents: orNull(list(Id, MAX_AGENTS)),
  agent_tools: orNull(list(Id, MAX_AGENTS)),
}

/** A graph as the web frontend draws it: what we do not read, such as positions and colours, comes back as it was. */
const Graph = Type.Object({
  nodes: list(
    Type.Object({ id: Type.String({ minLength: 1, maxLength: 200 }), type: Type.Optional(Type.String({ maxLength: 100 })) }),
    MAX_NODES,
  ),
  edges: list(Type.Object({ source: Type.String({ maxLength: 200 }), target: Type.String({ maxLength: 200 }) }), MAX_EDGES),
})

const URL_REQUIRED = 'URL is required for custom MCP servers'

const LlmConfig = Type.Object({
  ...common,
  tools: orNull(list(Type.Object({ id: Id, envs: orNull(Texts) }), 64)),
  custom_tools: orNull(Type.Object({ http_tools: orNull(list(HttpToolSpec, 64)) })),
  mcp_servers: orNull(list(Type.Object({ id: Id, envs: orNull(Texts), tools: orNull(list(Type.String({ maxLength: 200 }), 256)) }), 32)),
  custom_mcp_servers: orNull(
    list(
      Type.Object({
        url: Type.String({ minLength: 1, maxLength: 2000, error: URL_REQUIRED, absent: URL_REQUIRED }),
        headers: orNull(Texts),
      }),
      32,
    ),
  ),
  workflow: orNull(Type.Record(Type.String(), Type.Unknown())),
})

const CompositeConfig = Type.Object(common)

/**
 * What the config of each kind may say. Keys that we do not know are kept, in every place: nothing is closed.
 * Whether a list is long enough is for `checkAgent`, which has the reference's words for it.
 */
const SCHEMAS: Record<AgentType, TObject> = {
  llm: LlmConfig,
  sequential: CompositeConfig,
  parallel: CompositeConfig,
  loop: Type.Object({
    ...common,
    max_iterations: orNull(
      Type.Integer({ minimum: 1, maximum: MAX_ITERATIONS, error: `Must be a whole number from 1 to ${MAX_ITERATIONS}` }),
    ),
    condition: orNull(Type.String({ maxLength: 4000 })),
  }),
  task: Type.Object({
    ...common,
    tasks: orNull(
      list(
        Type.Object({
          agent_id: Id,
          description: Type.String({ maxLength: 20_000 }),
          expected_output: Type.String({ maxLength: 20_000 }),
          enabled_tools: orNull(list(Type.String({ maxLength: 200 }), 256)),
        }),
        MAX_TASKS,
      ),
    ),
  }),
  workflow: Type.Object({ ...common, workflow: orNull(Graph), timeout }),
  a2a: Type.Object({ ...common, agent_card: orNull(Type.Record(Type.String(), Type.Unknown())), timeout }),
}

/** What runs read besides, see `RunnableConfig`. */
const READ_BY_EVERY_RUN = ['require_approval', 'run_timeout_seconds']
const READ_BY_RUNS: Partial<Record<AgentType, string[]>> = {
  llm: ['load_memory', 'output_schema', 'max_output_tokens', 'temperature'],
  a2a: ['auth'],
}

/** The keys at the top of a config that mean something to an agent of that type. */
export const configKeysOf = (type: AgentType): ReadonlySet<string> =>
  new Set([...Object.keys(SCHEMAS[type].properties), ...READ_BY_EVERY_RUN, ...(READ_BY_RUNS[type] ?? [])])

const compiled = new Map(Object.entries(SCHEMAS).map(([type, schema]) => [type, TypeCompiler.Compile(schema)]))

/** Faults of a config's shape, with pointers below `/config`; as many as the caller wants to read. */
export function* shapeFaults(type: AgentType, config: Config): Generator<FieldError> {
  const seen = new Set<string>()
  for (const error of compiled.get(type)?.Errors(config) ?? [])
    for (const { path, message, schema, type: fault } of innermost(error)) {
      if (seen.has(path)) continue
      seen.add(path)
      const pointer = `/config${path}`
      if (fault === ValueErrorType.ObjectRequiredProperty) yield { pointer, ...ABSENT, ...(schema.absent && { message: schema.absent }) }
      else yield { pointer, code: 'invalid', message: typeof schema.error === 'string' ? schema.error : message }
    }
}

/** Of `this or null` what is wrong with this. */
function* innermost(error: ValueError): Generator<ValueError> {
  const inner = error.errors[0]?.First()
  if (inner === undefined) yield error
  else yield* innermost(inner)
}

/** The keys that the API always shows of an llm agent, null when unset. */
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
