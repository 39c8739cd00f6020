import { type Static, t } from 'elysia'
import { SentFiles } from '~/features/files/schema'
import { SessionEvent } from '~/features/sessions/event-view'
import { integer, text, Uuid } from '~/platform/http/schema'

export const ChatMessage = t.Object(
  {
    message: text({ maxLength: 200_000 }),
    agent_id: t.Optional(t.Nullable(text({ maxLength: 200, description: 'Ignored: the path says it.' }))),
    external_id: t.Optional(t.Nullable(text({ maxLength: 200, description: 'Ignored: the path says it.' }))),
    files: t.Optional(t.Nullable(SentFiles)),
  },
  { examples: [{ message: 'What is new?' }] },
)
export type ChatMessage = Static<typeof ChatMessage>

export const ChatAnswer = t.Object(
  {
    response: t.String(),
    message_history: t.Array(SessionEvent),
    status: t.Literal('success'),
    timestamp: t.String({ format: 'date-time' }),
  },
  { title: 'ChatAnswer' },
)
export type ChatAnswer = Static<typeof ChatAnswer>

/** The frames of the WebSocket other than messages. Keys that nobody knows are let through. */
export const Authorization = t.Object({
  type: t.Literal('authorization'),
  token: t.Optional(t.Nullable(t.String({ maxLength: 8192 }))),
  api_key: t.Optional(t.Nullable(t.String({ maxLength: 1000 }))),
  deltas: t.Optional(t.Boolean()),
})
export const Resumption = t.Object({
  type: t.Literal('resume'),
  run_id: Uuid,
  last_event_id: t.Optional(integer({ minimum: 0, maximum: 999_999_999_999_999 })),
})
