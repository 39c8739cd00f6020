import { type Static, t } from 'elysia'
import { Name, Timestamp, text, Uuid } from '~/platform/http/schema'

const Environments = t.Record(t.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]{0,127}$' }), text({ maxLength: 200 }), {
  maxProperties: 50,
  additionalProperties: false,
  error: 'Must map names of variables to texts such as env@@NAME',
})

export const Tool = t.Object(
  {
    id: Uuid,
    name: t.String(),
    description: t.Nullable(t.String()),
    config_json: t.Record(t.String(), t.Any(), {
      description:
        'An HTTP tool, as in an agent’s `custom_tools.http_tools`; `env@@NAME` in its headers and values stands for what each agent supplies.',
    }),
    environments: t.Record(t.String(), t.String(), { description: 'The variables that each agent must supply, as `env@@NAME`.' }),
    created_at: Timestamp,
    updated_at: t.Nullable(Timestamp),
  },
  { title: 'Tool' },
)
export type Tool = Static<typeof Tool>

/** For making a tool and for replacing it. What the server owns is accepted and ignored. */
export const NewTool = t.Object(
  {
    name: Name,
    description: t.Optional(t.Nullable(text({ maxLength: 4000 }))),
    config_json: t.Optional(t.Record(t.String({ maxLength: 200 }), t.Unknown(), { maxProperties: 50 })),
    environments: t.Optional(Environments),
    id: t.Optional(t.Unknown({ readOnly: true })),
    created_at: t.Optional(t.Unknown({ readOnly: true })),
    updated_at: t.Optional(t.Unknown({ readOnly: true })),
  },
  {
    examples: [
      {
        name: 'weather',
        description: 'The weather of a city',
        config_json: { endpoint: 'https://weather.example.com/{city}', method: 'GET' },
      },
    ],
  },
)
export type NewTool = Static<typeof NewTool>
