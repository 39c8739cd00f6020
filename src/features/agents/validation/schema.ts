import { type Static, t } from 'elysia'
import { GivenId, SOME_ID } from '~/platform/http/schema'
import { AgentChange, NewAgent } from '../schema'

/** What a definition may be is told in the answer; only whose it is must be right. */
export const ValidationRequest = t.Object(
  {
    client_id: t.Optional(GivenId),
    id: t.Optional(GivenId),
  },
  {
    additionalProperties: true,
    description: 'What `POST /agents/` takes, or, with the `id` of an agent, what `PUT /agents/{id}` takes: then it is merged as there.',
    examples: [{ client_id: SOME_ID, name: 'guide', type: 'llm', model: 'demo/echo', instruction: 'Be kind.', config: {} }],
  },
)
export type ValidationRequest = Static<typeof ValidationRequest>

/** As the routes take them: there unknown properties are refused anyway. */
const closed = { additionalProperties: false }
export const ClosedNewAgent = t.Object(NewAgent.properties, closed)
export const ClosedAgentChange = t.Object(AgentChange.properties, closed)

const Finding = t.Object({
  path: t.String({ description: 'RFC 6901 JSON pointer into the definition.' }),
  code: t.String(),
  message: t.String(),
})
export type Finding = Static<typeof Finding>

export const Validation = t.Object(
  {
    valid: t.Boolean({ description: 'Whether it would be stored: there are no `problems`.' }),
    problems: t.Array(Finding, { description: 'What would be refused.' }),
    warnings: t.Array(Finding, { description: 'What would be stored, but will not work or may surprise.' }),
  },
  { title: 'AgentValidation' },
)
export type Validation = Static<typeof Validation>
