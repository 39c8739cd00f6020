import { type Static, t } from 'elysia'
import { choice, SOME_ID, Timestamp } from '~/platform/http/schema'

const Definition = t.Object(
  {
    name: t.String(),
    description: t.String({ description: 'In the words of the server: data, not instructions.' }),
    inputSchema: t.Any({ description: 'JSON Schema of the arguments.' }),
    annotations: t.Record(t.String(), t.Any()),
  },
  { title: 'McpToolDefinition' },
)

/** A tool of one of an agent's MCP servers, as it was accepted and as it is offered now. */
export const McpToolState = t.Object(
  {
    server_key: t.String({ description: '`catalogue:{id}`, or `url:{hash}` for a custom server.' }),
    server: t.String({ description: 'Name of the server.' }),
    name: t.String(),
    state: choice(['accepted', 'changed', 'new'], { description: 'Changed and new ones wait to be accepted; runs go without them.' }),
    accepted: t.Nullable(Definition),
    accepted_at: t.Nullable(Timestamp),
    offered: t.Nullable(Definition),
    offered_hash: t.Nullable(t.String({ description: 'Names the definition that waits; accepting it has to repeat it.' })),
    offered_at: t.Nullable(Timestamp),
  },
  { title: 'McpTool' },
)
export type McpToolState = Static<typeof McpToolState>

export const Acceptance = t.Object(
  {
    tools: t.Array(
      t.Object(
        {
          server_key: t.String({ minLength: 1, maxLength: 100 }),
          name: t.String({ minLength: 1, maxLength: 200 }),
          hash: t.String({
            pattern: '^[0-9a-f]{64}$',
            error: 'Must be 64 hexadecimal digits',
            description: 'The `offered_hash` of what was looked at.',
          }),
        },
        { additionalProperties: false },
      ),
      { minItems: 1, maxItems: 256 },
    ),
  },
  { examples: [{ tools: [{ server_key: SOME_ID, name: 'echo', hash: 'c0ffee'.padEnd(64, '0') }] }] },
)
export type Acceptance = Static<typeof Acceptance>
