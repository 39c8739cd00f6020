import { type Static, t } from 'elysia'
import { CursorQuery } from '~/platform/http/cursor'
import { GivenMoment } from '~/platform/http/moment'
import { choice, GivenId, PageQuery, SOME_ID, Timestamp, Uuid } from '~/platform/http/schema'

export type AuditLog = Static<typeof AuditLog>
export const AuditLog = t.Object(
  {
    id: Uuid,
    user_id: t.Nullable(Uuid),
    actor_user_id: t.Nullable(Uuid),
    client_id: t.Nullable(Uuid),
    action: t.String(),
    resource_type: t.String(),
    resource_id: t.Nullable(t.String()),
    details: t.Nullable(t.Record(t.String(), t.Any())),
    ip_address: t.Nullable(t.String()),
    user_agent: t.Nullable(t.String()),
    trace_id: t.Nullable(t.String()),
    created_at: Timestamp,
  },
  { title: 'AuditLog' },
)

const Text = t.Optional(t.String({ minLength: 1, maxLength: 200 }))
const Moment = t.Optional(GivenMoment)
const filters = {
  user_id: t.Optional(Uuid),
  actor_user_id: t.Optional(Uuid),
  action: Text,
  resource_type: Text,
  resource_id: Text,
  start_date: Moment,
  end_date: Moment,
}
export type AuditFilter = Static<typeof AuditFilter>
const AuditFilter = t.Object(filters)
export const ListQuery = t.Object({ ...PageQuery, ...CursorQuery, ...filters })
export const ExportQuery = AuditFilter
const OfClient = { client_id: t.Optional(Uuid) }
export const AdminListQuery = t.Object({ ...PageQuery, ...CursorQuery, ...filters, ...OfClient })
export const AdminExportQuery = t.Object({ ...filters, ...OfClient })

const Hash = t.String({ pattern: '^[0-9a-f]{64}$', error: 'Must be 64 hex digits' })
const Seq = t.String({ pattern: '^(?:0|[1-9][0-9]{0,14})$', error: 'Must be a whole number' })

export const VerifyQuery = t.Object({
  client_id: t.Optional(t.String({ ...Uuid, description: "The client whose chain is checked; absent: the platform's own." })),
  after: t.Optional(t.String({ ...Seq, description: '`verified_to` of an answer that was not complete: goes on behind it.' })),
  anchor_seq: t.Optional(
    t.String({
      ...Seq,
      description: 'A row whose hash you noted down elsewhere, from an earlier `head`; one before `first_seq` cannot be checked any more.',
    }),
  ),
  anchor_hash: t.Optional(t.String({ ...Hash, description: 'The hash that you noted down.' })),
})

export const FAULTS = ['altered', 'broken-link', 'missing', 'end-removed', 'surplus', 'anchor-differs'] as const
export type Verification = Static<typeof Verification>
export const Verification = t.Object(
  {
    client_id: t.Nullable(Uuid),
    valid: t.Boolean({ description: 'Nothing was found in what was checked.' }),
    complete: t.Boolean({ description: 'False: the chain is long; ask again with `after` = `verified_to`.' }),
    rows: t.Integer({ description: 'Rows that were checked.' }),
    erased: t.Integer({ description: 'Rows among them whose personal part was erased: it cannot be checked any more, the rest was.' }),
    first_seq: t.Integer({ description: 'Where the chain begins: older rows were dropped by the retention, or there are none.' }),
    verified_to: t.Integer(),
    head: t.Object(
      { seq: t.Integer(), hash: Hash },
      { description: 'The end of the chain. Note it down to prove later that nothing was rewritten.' },
    ),
    faults: t.Array(
      t.Object({
        seq: t.Integer(),
        kind: choice(FAULTS, {
          description:
            '`altered`: the row does not fit its hash. `broken-link`: it does not follow the row before it. `missing`: rows are gone before this one. ' +
            '`end-removed`: the last rows are gone. `surplus`: rows behind the end. `anchor-differs`: not the hash that you noted down.',
        }),
        id: t.Nullable(Uuid),
      }),
      { description: 'The first 20.' },
    ),
  },
  { title: 'AuditVerification' },
)

export const Erasure = t.Object(
  {
    user_id: t.Optional(t.String({ ...GivenId, description: 'What this user did.' })),
    resource_type: t.Optional(t.String({ minLength: 1, maxLength: 200, description: 'With `resource_id`: what was done to this thing.' })),
    resource_id: t.Optional(t.String({ minLength: 1, maxLength: 200 })),
  },
  { title: 'AuditErasure', examples: [{ user_id: SOME_ID }] },
)
export type Erasure = Static<typeof Erasure>
export const Erased = t.Object({ erased: t.Integer({ description: 'Rows whose personal part is gone now.' }) })
