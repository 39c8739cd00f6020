import { type Static, t } from 'elysia'
import { EXTERNAL_ID_RULE } from '~/platform/external-id'
import { ExternalId, GivenId, SOME_ID, text, Uuid } from '~/platform/http/schema'

export const Contact = t.Object(
  {
    id: Uuid,
    client_id: Uuid,
    ext_id: t.Nullable(t.String({ description: 'The id that the client’s own systems give: the external id of its chats.' })),
    name: t.Nullable(t.String()),
    meta: t.Record(t.String(), t.Any()),
  },
  { title: 'Contact' },
)
export type Contact = Static<typeof Contact>

/** For making one and for replacing it: what is left out is empty afterwards. */
export const NewContact = t.Object(
  {
    client_id: GivenId,
    ext_id: t.Optional(t.Nullable(t.Union([t.Literal(''), ExternalId], { error: EXTERNAL_ID_RULE }))),
    name: t.Optional(t.Nullable(text({ maxLength: 200 }))),
    meta: t.Optional(t.Nullable(t.Record(t.String({ maxLength: 200 }), t.Unknown(), { maxProperties: 200 }))),
  },
  { examples: [{ client_id: SOME_ID, ext_id: '+551199990000', name: 'Grace', meta: { source: 'whatsapp', tags: ['new'] } }] },
)
export type NewContact = Static<typeof NewContact>
