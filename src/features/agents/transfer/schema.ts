import { type Static, t } from 'elysia'
import { FormFile, Uuid } from '~/platform/http/schema'
import { AgentType } from '../schema'

const Text = t.Nullable(t.String())

export const ExportedAgent = t.Object(
  {
    id: Uuid,
    name: t.String(),
    description: Text,
    role: Text,
    goal: Text,
    type: AgentType,
    model: Text,
    instruction: Text,
    agent_card_url: t.Optional(t.String()),
    config: t.Record(t.String(), t.Any(), { description: 'Without keys; secrets are empty.' }),
  },
  { title: 'ExportedAgent' },
)
export type ExportedAgent = Static<typeof ExportedAgent>

export const Export = t.Object({ agents: t.Array(ExportedAgent) }, { title: 'AgentExport' })

export const ImportRequest = t.Object(
  {
    file: t.Optional(FormFile),
    agents: t.Optional(t.Array(t.Unknown(), { maxItems: 500, description: 'In place of a file.' })),
    // With an example, lest the page of the API docs writes the word "string" into the form.
    folder_id: t.Optional(t.Nullable(t.String({ maxLength: 100, description: 'The folder of agents that name none.', examples: [''] }))),
  },
  { examples: [{ agents: [{ name: 'guide', type: 'llm', model: 'demo/echo', instruction: 'Be kind.', config: {} }] }] },
)
export type ImportRequest = Static<typeof ImportRequest>
