import { type Static, t } from 'elysia'
import { choice, GivenId, Name, SOME_ID, Timestamp, text, Uuid } from '~/platform/http/schema'

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

const Provider = text({ minLength: 1, maxLength: 100 })
const KeyValue = text({ minLength: 1, maxLength: 4000 })

export const NewProviderKey = t.Object(
  { client_id: GivenId, name: Name, provider: Provider, key_value: KeyValue },
  { examples: [{ client_id: SOME_ID, name: 'Our OpenAI account', provider: 'openai', key_value: 'sk-…' }] },
)
export type NewProviderKey = Static<typeof NewProviderKey>

/** Null and absent mean unchanged; so does an empty `key_value`, which the web frontend sends with every rename. */
export const ProviderKeyChange = t.Object(
  {
    name: t.Optional(t.Nullable(Name)),
    provider: t.Optional(t.Nullable(Provider)),
    key_value: t.Optional(t.Nullable(t.Union([t.Literal(''), KeyValue]))),
    is_active: t.Optional(t.Nullable(t.Boolean())),
  },
  { examples: [{ name: 'The new OpenAI account' }] },
)
export type ProviderKeyChange = Static<typeof ProviderKeyChange>

export const KeyCheck = t.Object(
  {
    ok: t.Boolean({ description: 'Whether the provider took the key.' }),
    provider: t.String(),
    outcome: choice(['accepted', 'refused', 'forbidden', 'rate-limited', 'unreachable', 'unexpected', 'unsupported', 'inactive'], {
      description:
        '`refused`: the provider does not know the key; `forbidden`: it knows the key and does not allow it the call; `rate-limited`, `unreachable` and `unexpected` say nothing about the key; `unsupported`: there is no provider of that name to ask; `inactive`: the key is switched off, so nobody was asked.',
    }),
    detail: t.String({ description: 'The outcome in words.' }),
    checked_at: Timestamp,
  },
  { title: 'KeyCheck' },
)
export type KeyCheck = Static<typeof KeyCheck>
