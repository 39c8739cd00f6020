import { type Static, t } from 'elysia'
import { Name, Timestamp, Uuid } from '~/platform/http/schema'

export const ProviderKey = t.Object(
  {
    id: Uuid,
    client_id: Uuid,
    name: t.String(),
    provider: t.String(),
    last_four: t.String({ description: 'The end of the key, to tell keys apart.' }),
    is_active: t.Boolean(),
    created_at: Timestamp,
    updated_at: t.Nullable(Timestamp),
  },
  { title: 'ProviderKey' },
)
export type ProviderKey = Static<typeof ProviderKey>

const Provider = t.String({ minLength: 1, maxLength: 100 })
const KeyValue = t.String({ minLength: 1, maxLength: 4000 })

export const NewProviderKey = t.Object({ client_id: Uuid, name: Name, provider: Provider, key_value: KeyValue })
export type NewProviderKey = Static<typeof NewProviderKey>

/** Null and absent mean unchanged; so does an empty `key_value`, which the web frontend sends with every rename. */
export const ProviderKeyChange = t.Object({
  name: t.Optional(t.Nullable(Name)),
  provider: t.Optional(t.Nullable(Provider)),
  key_value: t.Optional(t.Nullable(t.Union([t.Literal(''), KeyValue]))),
  is_active: t.Optional(t.Nullable(t.Boolean())),
})
export type ProviderKeyChange = Static<typeof ProviderKeyChange>
