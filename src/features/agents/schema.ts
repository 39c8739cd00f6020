import { type Static, t } from 'elysia'
import { choice, described, GivenId, Name, OptionalId, SOME_ID, Timestamp, text, Uuid } from '~/platform/http/schema'
import { AGENT_TYPES } from './table'

const Config = t.Record(t.String({ maxLength: 200 }), t.Unknown())
const OptionalText = (maxLength: number) => t.Optional(t.Nullable(text({ maxLength })))

export const AgentType = choice(AGENT_TYPES, {
  error: 'Invalid agent type. Must be: llm, sequential, parallel, loop, a2a, workflow or task',
})

export const Agent = t.Object(
  {
    id: Uuid,
    client_id: Uuid,
    folder_id: t.Nullable(Uuid),
    name: t.String(),
    description: t.Nullable(t.String()),
    role: t.Nullable(t.String()),
    goal: t.Nullable(t.String()),
    type: AgentType,
    model: t.Nullable(t.String()),
    api_key_id: t.Nullable(Uuid),
    instruction: t.Nullable(t.String()),
    agent_card_url: t.String(),
    // What it holds was checked when it came.
    config: described(Config),
    created_at: Timestamp,
    updated_at: t.Nullable(Timestamp),
  },
  { title: 'Agent' },
)
export type Agent = Static<typeof Agent>

const fields = {
  description: OptionalText(4000),
  role: OptionalText(4000),
  goal: OptionalText(4000),
  model: OptionalText(200),
  api_key_id: OptionalId,
  instruction: OptionalText(100_000),
  agent_card_url: OptionalText(2000),
  folder_id: OptionalId,
  config: t.Optional(t.Nullable(Config)),
}

export const NewAgent = t.Object(
  {
    client_id: GivenId,
    name: t.Optional(t.Nullable(t.Union([Name, t.Literal('')]))),
    type: AgentType,
    ...fields,
  },
  { examples: [{ client_id: SOME_ID, name: 'guide', type: 'llm', model: 'demo/echo', instruction: 'Be kind.', config: {} }] },
)
export type NewAgent = Static<typeof NewAgent>

/** Any subset. The web frontend sends the whole agent back as it read it: what the server owns is accepted and ignored. */
export const AgentChange = t.Object(
  {
    client_id: t.Optional(GivenId),
    name: t.Optional(t.Nullable(t.Union([Name, t.Literal('')]))),
    type: t.Optional(AgentType),
    ...fields,
    id: t.Optional(t.Unknown({ readOnly: true })),
    created_at: t.Optional(t.Unknown({ readOnly: true })),
    updated_at: t.Optional(t.Unknown({ readOnly: true })),
  },
  { examples: [{ description: 'Shows visitors around.', instruction: 'Be kind and brief.' }] },
)
export type AgentChange = Static<typeof AgentChange>

/** As a file may have it: whatever else it says is not read. */
export const ImportedAgent = t.Object({
  id: t.Optional(t.String({ maxLength: 200 })),
  client_id: t.Optional(GivenId),
  name: t.Optional(t.Nullable(t.Union([Name, t.Literal('')]))),
  type: AgentType,
  ...fields,
})
export type ImportedAgent = Static<typeof ImportedAgent>
