import { Elysia, t } from 'elysia'
import { countedList } from '~/platform/http/docs/responses'
import { holdBody } from '~/platform/http/held-body'
import { pageHeaders } from '~/platform/http/listing'
import { PageQuery, pageOf } from '~/platform/http/schema'
import type { OpenSession } from '~/platform/http/session'
import type { Room } from '~/platform/room'
import { Artifact } from './schema'
import type { FileService } from './service'

const SessionId = t.String({ minLength: 1, maxLength: 200 })
const Version = t.Optional(
  t.String({ pattern: '^(?:0|[1-9][0-9]{0,8})$', error: 'Must be a whole number', description: 'Else the newest.' }),
)

export const fileRoutes = ({ files, session, room }: { files: FileService; session: OpenSession; room: Room }) =>
  new Elysia({ prefix: '/sessions', tags: ['sessions'] })
    .use(session)
    .get(
      '/:session_id/artifacts',
      async ({ principal, params, query, request, set }) => {
        const page = pageOf(query)
        const { items, total } = await files.list(principal, params.session_id, page)
        Object.assign(set.headers, pageHeaders(request, page, total))
        return items
      },
      {
        params: t.Object({ session_id: SessionId }),
        query: t.Object(PageQuery),
        response: { 200: t.Array(Artifact) },
        detail: { summary: "A session's files, all versions of each", responses: countedList },
      },
    )
    .get(
      '/:session_id/artifacts/:filename',
      async ({ principal, params, query, request }) => {
        // Twice: as it is read, and as it is sent.
        const hold = (holder: string, bytes: number) => holdBody(request, room, { holder, bytes: 2 * bytes })
        const version = query.version === undefined ? undefined : Number(query.version)
        const { file, bytes } = await files.download(principal, params.session_id, { filename: params.filename, version }, hold)
        return new Response(new Uint8Array(bytes), { headers: headersOf(file) })
      },
      {
        params: t.Object({ session_id: SessionId, filename: t.String({ minLength: 1, maxLength: 255 }) }),
        query: t.Object({ version: Version }),
        detail: {
          summary: "One file's bytes",
          responses: { 200: { description: 'The file', content: { '*/*': { schema: { type: 'string', format: 'binary' } } } } },
        },
      },
    )

/** Whatever it is, a browser saves it: it must not run as a page of ours. */
const headersOf = ({ filename, version, content_type, sha256 }: Artifact): Record<string, string> => ({
  'content-type': content_type,
  'content-disposition': `attachment; filename*=UTF-8''${encodeURIComponent(filename).replace(/['()*]/g, encodeByte)}`,
  'content-security-policy': 'sandbox',
  'x-content-type-options': 'nosniff',
  'x-version': String(version),
  etag: `"${sha256}"`,
})

const encodeByte = (char: string) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`
