import { type Static, t } from 'elysia'
import { choice, Timestamp, Uuid } from '~/platform/http/schema'

/** One version of a file of a conversation. */
export const Artifact = t.Object(
  {
    id: Uuid,
    filename: t.String(),
    version: t.Integer({ description: 'From 0.' }),
    content_type: t.String(),
    size: t.Integer({ description: 'Bytes.' }),
    sha256: t.String({ description: 'Of the bytes, in hex.' }),
    author: choice(['user', 'agent']),
    created_at: Timestamp,
  },
  { title: 'Artifact' },
)
export type Artifact = Static<typeof Artifact>
