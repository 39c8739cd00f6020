import { Elysia, t } from 'elysia'
import { ClientHeader } from '~/platform/http/client-header'
import { CursorQuery, cursorPageOf } from '~/platform/http/cursor'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { PageQuery, Uuid } from '~/platform/http/schema'
import type { OpenSession } from '~/platform/http/session'
import { Folder, FolderChange, NewFolder } from './schema'
import type { FolderService } from './service'

const Params = t.Object({ folder_id: Uuid })

export const folderRoutes = ({ folders, session }: { folders: FolderService; session: OpenSession }) =>
  new Elysia({ prefix: '/agents/folders', tags: ['folders'] })
    .use(session)
    .post(
      '/',
      async ({ principal, body, request, status }) => status(201, await folders.create(idempotent(principal, request, body), body)),
      {
        body: NewFolder,
        response: { 201: Folder },
        detail: { summary: 'Make a folder for agents', parameters: [idempotencyKey] },
      },
    )
    .get(
      '/',
      async ({ principal, headers, query, request, set }) => {
        const page = cursorPageOf(request, query)
        const { items, total, last } = await folders.list(principal, headers['x-client-id'], page)
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        headers: ClientHeader,
        query: t.Object({ ...PageQuery, ...CursorQuery }),
        response: { 200: t.Array(Folder) },
        detail: { summary: "List a client's folders, oldest first", responses: countedList },
      },
    )
    .get('/:folder_id', ({ principal, headers, params }) => folders.get(principal, headers['x-client-id'], params.folder_id), {
      headers: ClientHeader,
      params: Params,
      response: { 200: Folder },
      detail: { summary: 'Read a folder' },
    })
    .put(
      '/:folder_id',
      ({ principal, headers, params, body }) => folders.update(principal, headers['x-client-id'], params.folder_id, body),
      {
        headers: ClientHeader,
        params: Params,
        body: FolderChange,
        response: { 200: Folder },
        detail: { summary: 'Rename a folder; a description of null stays as it is' },
      },
    )
    .delete(
      '/:folder_id',
      async ({ principal, headers, params, set }) => {
        await folders.remove(principal, headers['x-client-id'], params.folder_id)
        set.status = 204
      },
      { headers: ClientHeader, params: Params, detail: { summary: 'Delete a folder; its agents stay, in no folder' } },
    )
