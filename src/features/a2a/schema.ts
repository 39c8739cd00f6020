import { Value } from '@sinclair/typebox/value'
import { type Static, t } from 'elysia'
import { ChatMessage } from '~/features/chat/schema'
import { SentFiles } from '~/features/files/schema'
import { DomainError } from '~/platform/errors'
import { integer, SOME_ID } from '~/platform/http/schema'

/**
 * The methods read their own parameters: they differ by dialect, and their errors are the protocol's. So is that of a request which is none: the types
 * stand here for the API document, and rpc-call.ts demands them.
 */
export const RpcRequest = t.Object(
  {
    jsonrpc: t.Optional(t.Unknown({ type: 'string', const: '2.0' })),
    id: t.Optional(t.Unknown({ type: ['string', 'integer', 'null'] })),
    method: t.Optional(t.Unknown({ type: 'string' })),
    params: t.Optional(t.Unknown({ type: 'object', additionalProperties: true })),
  },
  {
    title: 'A2aRequest',
    additionalProperties: true,
    examples: [
      {
        jsonrpc: '2.0',
        id: 1,
        method: 'message/send',
        params: { message: { role: 'user', messageId: SOME_ID, parts: [{ kind: 'text', text: 'What is new?' }] } },
      },
    ],
  },
)
export const RpcResponse = t.Object(
  {
    jsonrpc: t.Literal('2.0'),
    id: t.Union([t.String(), t.Number(), t.Null()]),
    result: t.Optional(t.Unknown()),
    error: t.Optional(t.Object({ code: t.Integer(), message: t.String(), data: t.Optional(t.Unknown()) })),
  },
  { title: 'A2aResponse' },
)
export const AgentCard = t.Record(t.String(), t.Unknown(), {
  title: 'AgentCard',
  description: 'The fields of A2A 1.0 and of 0.3 side by side.',
})

const Timestamps = t.String({ format: 'date-time' })
export const SessionList = t.Object(
  {
    sessions: t.Array(
      t.Object({
        sessionId: t.String(),
        contextId: t.String(),
        lastUpdate: t.Number({ description: 'Seconds since the epoch.' }),
        messageCount: t.Integer(),
        status: t.String(),
      }),
    ),
    total: t.Integer(),
  },
  { title: 'A2aSessions' },
)
export const SessionHistory = t.Object(
  {
    sessionId: t.String(),
    history: t.Array(
      t.Object({
        role: t.String(),
        content: t.Unknown(),
        messageId: t.String(),
        timestamp: Timestamps,
        author: t.String(),
        invocation_id: t.String(),
      }),
    ),
    total: t.Integer(),
  },
  { title: 'A2aHistory' },
)
export const HistoryRequest = t.Object(
  {
    jsonrpc: t.Optional(t.Unknown()),
    id: t.Optional(t.Unknown()),
    method: t.Optional(t.Unknown()),
    params: t.Object({
      contextId: t.Optional(t.String({ minLength: 1, maxLength: 512 })),
      external_id: t.Optional(t.String({ minLength: 1, maxLength: 512 })),
      limit: t.Optional(integer({ minimum: 1, maximum: 1000 })),
    }),
  },
  { title: 'A2aHistoryRequest', examples: [{ jsonrpc: '2.0', id: 1, params: { contextId: SOME_ID, limit: 50 } }] },
)

const Sent = t.Object({ message: ChatMessage.properties.message, files: SentFiles })

/** Holds what a message brings to the bounds of every chat. @throws DomainError `validation-failed`, without what was sent */
export function checkSent(sent: Static<typeof Sent>): Static<typeof Sent> {
  const fault = Value.Errors(Sent, sent).First()
  if (fault === undefined) return sent
  const message = typeof fault.schema.error === 'string' ? fault.schema.error : fault.message
  throw new DomainError('validation-failed', `${fault.path.slice(1)}: ${message}`)
}
