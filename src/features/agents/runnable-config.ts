import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { DomainError } from '~/platform/errors'

const orNull = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))
const Ids = orNull(Type.Array(Type.String(), { maxItems: 1000 }))

/** What of an agent's config says how it runs, whatever its kind. How it may be written is checked when it is saved; what got in otherwise fails here. */
const RunnableConfig = Type.Object(
  {
    sub_agents: Ids,
    agent_tools: Ids,
    load_memory: orNull(Type.Boolean()),
    output_schema: orNull(Type.Record(Type.String(), Type.Unknown())),
    max_output_tokens: orNull(Type.Integer({ minimum: 1, maximum: 10_000_000 })),
    temperature: orNull(Type.Number({ minimum: 0, maximum: 2 })),
    /** Names of tools that need consent; `true` for the agent itself, wherever it is a part of another one. */
    require_approval: orNull(Type.Union([Type.Boolean(), Type.Array(Type.String(), { maxItems: 1000 })])),
    max_iterations: orNull(Type.Number()),
    tasks: orNull(
      Type.Array(
        Type.Object({
          agent_id: Type.String(),
          description: orNull(Type.String()),
          expected_output: orNull(Type.String()),
          enabled_tools: orNull(Type.Array(Type.String())),
        }),
      ),
    ),
    workflow: Type.Optional(Type.Unknown()),
    /** Seconds that a run of this agent may take, waiting not counted. */
    run_timeout_seconds: orNull(Type.Integer({ minimum: 1, maximum: 604_800 })),
    /** Seconds. */
    timeout: orNull(Type.Number({ exclusiveMinimum: 0 })),
  },
  { additionalProperties: true },
)
export type RunnableConfig = Static<typeof RunnableConfig>

const compiled = TypeCompiler.Compile(RunnableConfig)

/** @throws DomainError `validation-failed` */
export function readRunnableConfig(config: Record<string, unknown>): RunnableConfig {
  if (compiled.Check(config)) return config
  const [first] = compiled.Errors(config)
  const message = first?.message ?? 'invalid'
  throw new DomainError('validation-failed', `The agent's config cannot be run: ${first?.path ?? ''} ${message}`, {
    errors: [{ pointer: `/config${first?.path ?? ''}`, code: 'invalid', message }],
  })
}
