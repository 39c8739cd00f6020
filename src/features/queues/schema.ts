import { type Static, t } from 'elysia'
import { choice, Timestamp, Uuid } from '~/platform/http/schema'
import { OUTBOX_KINDS } from '~/platform/outbox/table'

export const QueueName = choice(OUTBOX_KINDS)

export type Queue = Static<typeof Queue>
export const Queue = t.Object(
  {
    name: QueueName,
    unfinished: t.Integer({ description: 'Rows that are not done, up to 100,000 of them, those that wait for a retry included.' }),
    oldest_seconds: t.Nullable(t.Number({ description: 'Age of the oldest of them.' })),
    dead: t.Integer({ description: 'Entries that were set aside and wait for somebody to decide.' }),
    stream: t.Nullable(
      t.Object({
        length: t.Integer({ description: 'Entries that are not acknowledged.' }),
        lag: t.Integer({ description: 'Entries that no worker has read yet.' }),
        pending: t.Integer({ description: 'Entries that a worker has in hand.' }),
        consumers: t.Integer(),
      }),
      { description: 'What Redis says; null while it is away.' },
    ),
  },
  { title: 'Queue' },
)

export type DeadLetter = Static<typeof DeadLetter>
export const DeadLetter = t.Object(
  {
    id: Uuid,
    outbox_id: t.Nullable(Uuid),
    entry: t.Record(t.String(), t.Any(), { description: 'What stood in the stream, as far as it can be kept.' }),
    reason: t.String(),
    created_at: Timestamp,
  },
  { title: 'DeadLetter' },
)
