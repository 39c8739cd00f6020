import { type Static, t } from 'elysia'
import { SentFiles } from '~/features/files/schema'
import { CursorQuery } from '~/platform/http/cursor'
import { choice, ExternalId, integer, PageQuery, Timestamp, text, Uuid } from '~/platform/http/schema'
import { RUN_STATUSES } from './table'

const Usage = t.Object(
  {
    input_tokens: t.Number({ description: 'Cached ones included.' }),
    output_tokens: t.Number({ description: 'Reasoning included.' }),
    cached_input_tokens: t.Number(),
    reasoning_tokens: t.Number(),
    cost_usd: t.Number(),
  },
  { title: 'TokenUsage' },
)

export const ON_BUSY = ['enqueue', 'reject', 'interrupt'] as const
export type OnBusy = (typeof ON_BUSY)[number]

const fields = {
  id: Uuid,
  agent_id: Uuid,
  session_id: t.String(),
  status: choice(RUN_STATUSES),
  on_disconnect: choice(['continue', 'cancel']),
  result: t.Nullable(t.Object({ response: t.String() })),
  error: t.Nullable(
    t.Object({ problem: t.String(), detail: t.String(), retry_after_seconds: t.Optional(t.Number()) }, { description: 'Why it failed.' }),
  ),
  waiting_for: t.Nullable(
    t.Object(
      { reason: t.String() },
      { additionalProperties: true, description: 'What it waits for: `delay`, `approval`, `budget-exhausted`, `needs_reconcile`.' },
    ),
  ),
  wake_at: t.Nullable(Timestamp),
  usage: Usage,
  created_at: Timestamp,
  started_at: t.Nullable(Timestamp),
  finished_at: t.Nullable(Timestamp),
}

export const RunItem = t.Object(fields, { title: 'RunItem' })
export type RunItem = Static<typeof RunItem>

export const Run = t.Object(
  {
    ...fields,
    steps: t.Array(
      t.Object({
        key: t.String(),
        kind: t.String(),
        effect: t.String(),
        state: t.String(),
        model: t.Nullable(t.String()),
        usage: t.Nullable(Usage),
        started_at: Timestamp,
        finished_at: t.Nullable(Timestamp),
      }),
    ),
  },
  { title: 'Run' },
)
export type Run = Static<typeof Run>

export const RunQuery = t.Object({
  ...PageQuery,
  ...CursorQuery,
  client_id: t.Optional(Uuid),
  agent_id: t.Optional(Uuid),
  session_id: t.Optional(t.String({ minLength: 1, maxLength: 200 })),
  status: t.Optional(choice(RUN_STATUSES)),
})

/** `retry` does the step again, `done` takes `result` for its outcome, `fail` gives the run up. */
export const Reconciliation = t.Object(
  {
    step: text({ maxLength: 2000 }),
    decision: choice(['retry', 'done', 'fail']),
    result: t.Optional(t.Unknown()),
  },
  { examples: [{ step: 'tool:2:0:book', decision: 'done', result: { booking: 17 } }] },
)
export type Reconciliation = Static<typeof Reconciliation>

export const NewRun = t.Object(
  {
    message: text({ maxLength: 200_000 }),
    files: t.Optional(t.Nullable(SentFiles)),
    external_id: t.Optional(t.String({ ...ExternalId, description: 'Whose conversation it is; a new one without.' })),
    mode: t.Optional(
      choice(['wait', 'stream', 'background'], {
        description:
          '`wait` answers when the run has ended or waits itself, `stream` with server-sent events, `background` at once. Default: wait.',
      }),
    ),
    on_busy: t.Optional(
      choice(ON_BUSY, { description: 'When the session has a run already: wait for it, refuse (409), or cancel it. Default: enqueue.' }),
    ),
    on_disconnect: t.Optional(
      choice(['continue', 'cancel'], { description: 'What happens to the run when the client leaves. Default: continue.' }),
    ),
    timeout_seconds: t.Optional(
      integer({
        minimum: 1,
        maximum: 604_800,
        description: 'How long it may run, waiting not counted. Default: the agent’s, else the server’s.',
      }),
    ),
  },
  { examples: [{ message: 'What is new?', external_id: 'visitor-1', mode: 'wait' }] },
)
export type NewRun = Static<typeof NewRun>
