import { type Static, t } from 'elysia'
import { Timestamp, Uuid } from '~/platform/http/schema'
import { AgentType } from '../schema'

export const AgentVersion = t.Object(
  {
    version: t.Integer(),
    name: t.String(),
    type: AgentType,
    made_at: Timestamp,
    is_current: t.Boolean(),
  },
  { title: 'AgentVersion' },
)
export type AgentVersion = Static<typeof AgentVersion>

const Text = t.Nullable(t.String())

export const AgentVersionDetail = t.Object(
  {
    version: t.Integer(),
    made_at: Timestamp,
    is_current: t.Boolean(),
    definition: t.Object(
      {
        name: t.String(),
        description: Text,
        role: Text,
        goal: Text,
        type: AgentType,
        model: Text,
        api_key_id: t.Nullable(Uuid),
        instruction: Text,
        agent_card_url: Text,
        folder_id: t.Nullable(Uuid),
        config: t.Record(t.String(), t.Any(), { description: 'Its secrets are masked, as in an agent.' }),
      },
      { title: 'AgentDefinition' },
    ),
  },
  { title: 'AgentVersionDetail' },
)
export type AgentVersionDetail = Static<typeof AgentVersionDetail>

export const Difference = t.Object(
  {
    pointer: t.String({ description: 'JSON pointer into the definition.' }),
    from: t.Optional(t.Any({ description: 'Absent: it was not there.' })),
    to: t.Optional(t.Any({ description: 'Absent: it is not there any more.' })),
  },
  { title: 'AgentDifference' },
)
export type Difference = Static<typeof Difference>
