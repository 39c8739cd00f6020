import { type Static, t } from 'elysia'
import { choice, Name, Timestamp, text, Uuid } from '~/platform/http/schema'

const Texts = t.Array(text({ maxLength: 2000 }), { maxItems: 50 })
export const Environments = t.Record(t.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]{0,127}$' }), text({ maxLength: 200 }), {
  maxProperties: 50,
  additionalProperties: false,
  error: 'Must map names of variables to texts such as env@@NAME',
})

const toolFields = {
  id: text({ minLength: 1, maxLength: 200 }),
  name: text({ minLength: 1, maxLength: 200 }),
  description: text({ maxLength: 20_000 }),
}
const CatalogueTool = t.Object(
  { ...toolFields, tags: Texts, examples: Texts, inputModes: Texts, outputModes: Texts },
  { title: 'McpServerTool' },
)
export type CatalogueTool = Static<typeof CatalogueTool>
const NewCatalogueTool = t.Object(
  {
    ...toolFields,
    tags: t.Optional(Texts),
    examples: t.Optional(Texts),
    inputModes: t.Optional(Texts),
    outputModes: t.Optional(Texts),
  },
  { additionalProperties: true },
)

const ConfigType = choice(['studio', 'sse'], {
  description: '`studio`: a command, `config_json` is `{command, args, env}`; `sse`: a remote server, `{url, headers}`.',
})
const Type = choice(['official', 'community'])
const ConfigJson = t.Record(t.String({ maxLength: 200 }), t.Unknown(), { maxProperties: 50 })

export const McpServer = t.Object(
  {
    id: Uuid,
    name: t.String(),
    description: t.Nullable(t.String()),
    config_type: ConfigType,
    config_json: t.Record(t.String(), t.Any(), {
      description: 'How it is reached. For everybody but admins the values of variables and headers are hidden.',
    }),
    environments: t.Record(t.String(), t.String(), { description: 'The variables that each agent must supply, as `env@@NAME`.' }),
    tools: t.Array(CatalogueTool),
    type: Type,
    trusted: t.Boolean({ description: 'What its tools say about themselves, such as that they only read, is believed.' }),
    created_at: Timestamp,
    updated_at: t.Nullable(Timestamp),
  },
  { title: 'McpServer' },
)
export type McpServer = Static<typeof McpServer>

/** For making an entry and for replacing it. What the server owns is accepted and ignored. */
export const NewMcpServer = t.Object(
  {
    name: Name,
    description: t.Optional(t.Nullable(text({ maxLength: 4000 }))),
    config_type: t.Optional(ConfigType),
    config_json: t.Optional(ConfigJson),
    environments: t.Optional(Environments),
    tools: t.Optional(
      t.Nullable(t.Array(NewCatalogueTool, { maxItems: 500 }), {
        description: 'Null or absent: the server is asked for them, and must answer.',
      }),
    ),
    type: t.Optional(Type),
    trusted: t.Optional(t.Boolean()),
    id: t.Optional(t.Unknown({ readOnly: true })),
    created_at: t.Optional(t.Unknown({ readOnly: true })),
    updated_at: t.Optional(t.Unknown({ readOnly: true })),
  },
  {
    examples: [
      {
        name: 'everything',
        config_type: 'studio',
        config_json: {
          command: 'npx',
          args: ['-y', '@modelcontextprotocol/server-everything@2026.8.31'],
          env: { API_TOKEN: 'env@@API_TOKEN' },
        },
        environments: { API_TOKEN: 'env@@API_TOKEN' },
        tools: [{ id: 'echo', name: 'echo', description: 'Says what it is told' }],
      },
    ],
  },
)
export type NewMcpServer = Static<typeof NewMcpServer>
