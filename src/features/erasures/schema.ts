import { type Static, t } from 'elysia'
import { Uuid } from '~/platform/http/schema'

const Found = t.Integer({ minimum: 0 })

export const ErasureReceipt = t.Object(
  {
    contact_id: Uuid,
    client_id: Uuid,
    erased_at: t.String({ format: 'date-time' }),
    removed: t.Object(
      {
        contacts: Found,
        sessions: Found,
        events: Found,
        runs: Found,
        run_steps: Found,
        run_events: Found,
        files: Found,
        approvals: Found,
        a2a_tasks: Found,
        budgets: Found,
        webhook_deliveries: Found,
        idempotency_keys: Found,
      },
      { description: 'Rows, by their place.' },
    ),
    emptied: t.Object(
      { usage_records: Found, audit_logs: Found, outbox: Found },
      { description: 'Rows that stay for the bill and the audit log, with nothing in them that tells of the contact.' },
    ),
    streams: t.Nullable(Found, {
      description: 'Logs of runs in Redis. Null: it was out of reach, and they expire there within the hour.',
    }),
    audit_id: t.String({ format: 'uuid', description: 'The entry of the audit log that tells of it.' }),
    hash: t.String({ description: 'SHA-256, in hex, of the JSON of all the other members in the order in which they stand here.' }),
  },
  { title: 'Receipt of an erasure' },
)
export type ErasureReceipt = Static<typeof ErasureReceipt>
