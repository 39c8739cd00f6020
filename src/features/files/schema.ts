import { type Static, t } from 'elysia'
import { Base64, choice, Timestamp, Uuid } from '~/platform/http/schema'
import type { RunInput } from '~/runtime/types'

/** What comes with a message. */
export const SentFiles = t.Array(
  t.Object(
    {
      filename: t.String({
        minLength: 1,
        maxLength: 255,
        pattern: '^[^/\\\\]+$',
        error: 'Must be a name of 1 to 255 characters without slashes',
      }),
      content_type: t.String({ pattern: '^[\\w.+-]{1,100}/[\\w.+-]{1,100}$', error: 'Must be a media type, such as image/png' }),
      data: Base64,
    },
    // Elysia closes a body's top level alone.
    { additionalProperties: false },
  ),
  { maxItems: 10 },
)
export type SentFiles = Static<typeof SentFiles>

/** What a turn is given: with nothing said, the files speak. Takes the data along: whoever sent it waits for the turn, and need not hold it meanwhile. */
export const inputOf = (message: string, files: SentFiles | null | undefined): RunInput => {
  const parts = (files ?? []).map((file) => {
    const { filename, content_type, data } = file
    file.data = ''
    return { type: 'file' as const, filename, mediaType: content_type, data }
  })
  return { text: message === '' && parts.length > 0 ? 'Analyze the provided files' : message, files: parts }
}

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
