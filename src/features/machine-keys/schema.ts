import { type Static, t } from 'elysia'
import { GivenMoment } from '~/platform/http/moment'
import { choice, integer, Name, OptionalId, Timestamp, Uuid } from '~/platform/http/schema'
import { SCOPES } from '~/platform/principal'

const Scopes = t.Array(choice(SCOPES), { minItems: 1, maxItems: SCOPES.length, uniqueItems: true, description: 'All that it may do.' })

export const NewMachineKey = t.Object(
  {
    name: Name,
    scopes: Scopes,
    agent_id: OptionalId,
    expires_at: t.Optional(t.Nullable({ ...GivenMoment, description: 'Absent: it does not expire.' })),
  },
  { examples: [{ name: 'nightly report', scopes: ['agents:read'] }] },
)
export type NewMachineKey = Static<typeof NewMachineKey>

/** The body may be left out: it is null then. */
export const Rotation = t.Nullable(
  t.Object(
    {
      overlap_seconds: t.Optional(
        integer({ minimum: 0, maximum: 604_800, default: 3600, description: 'How long the former secret is still good.' }),
      ),
    },
    { examples: [{ overlap_seconds: 3600 }] },
  ),
)

const shown = {
  id: Uuid,
  client_id: Uuid,
  agent_id: t.Nullable(t.String({ format: 'uuid', description: 'The one agent that it is for; null: any of the client.' })),
  name: t.String(),
  scopes: t.Array(t.String()),
  last_four: t.String({ description: 'The end of the secret, to tell keys apart.' }),
  expires_at: t.Nullable(Timestamp),
  last_used_at: t.Nullable(Timestamp),
  previous_expires_at: t.Nullable(Timestamp),
  created_by: t.Nullable(Uuid),
  created_at: Timestamp,
  updated_at: t.Nullable(Timestamp),
}
export const MachineKey = t.Object(shown, { title: 'MachineKey' })
export type MachineKey = Static<typeof MachineKey>

export const MachineKeyWithSecret = t.Object(
  {
    ...shown,
    key: t.Nullable(
      t.String({
        description:
          'The secret, `evo_mk_…`: shown now and never again. Null where the request was a repeated one, with an Idempotency-Key: rotate the key then.',
      }),
    ),
  },
  { title: 'MachineKeyWithSecret' },
)
export type MachineKeyWithSecret = Static<typeof MachineKeyWithSecret>
