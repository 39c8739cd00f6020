import { type Static, t } from 'elysia'
import { choice, Timestamp, Uuid } from '~/platform/http/schema'
import { RUN_STATUSES } from './table'

export const Run = t.Object(
  {
    id: Uuid,
    agent_id: Uuid,
    session_id: t.String(),
    status: choice(RUN_STATUSES),
    on_disconnect: choice(['continue', 'cancel']),
    result: t.Nullable(t.Object({ response: t.String() })),
    error: t.Nullable(t.Object({ problem: t.String(), detail: t.String() })),
    steps: t.Array(
      t.Object({
        key: t.String(),
        kind: t.String(),
        effect: t.String(),
        state: t.String(),
        started_at: Timestamp,
        finished_at: t.Nullable(Timestamp),
      }),
    ),
    created_at: Timestamp,
    started_at: t.Nullable(Timestamp),
    finished_at: t.Nullable(Timestamp),
  },
  { title: 'Run' },
)
export type Run = Static<typeof Run>

/** `retry` does the step again, `done` takes `result` for its outcome, `fail` gives the run up. */
export const Reconciliation = t.Object({
  step: t.String({ maxLength: 300 }),
  decision: choice(['retry', 'done', 'fail']),
  result: t.Optional(t.Unknown()),
})
export type Reconciliation = Static<typeof Reconciliation>
