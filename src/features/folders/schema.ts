import { type Static, t } from 'elysia'
import { GivenId, Name, SOME_ID, Timestamp, text, Uuid } from '~/platform/http/schema'

export const Folder = t.Object(
  {
    id: Uuid,
    client_id: Uuid,
    name: t.String(),
    description: t.Nullable(t.String()),
    created_at: Timestamp,
    updated_at: t.Nullable(Timestamp),
  },
  { title: 'Folder' },
)
export type Folder = Static<typeof Folder>

const Description = t.Optional(t.Nullable(text({ maxLength: 4000 })))

export const NewFolder = t.Object(
  { client_id: GivenId, name: Name, description: Description },
  { examples: [{ client_id: SOME_ID, name: 'Sales', description: 'Agents of the sales team' }] },
)
export type NewFolder = Static<typeof NewFolder>

/** A description of null means unchanged. */
export const FolderChange = t.Object(
  { name: Name, description: Description },
  { examples: [{ name: 'Support', description: 'Agents of the support team' }] },
)
export type FolderChange = Static<typeof FolderChange>
