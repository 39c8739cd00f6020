import { Elysia, t } from 'elysia'
import { CursorQuery, cursorPageOf } from '~/platform/http/cursor'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList, neverAnswers, problemsOf } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { PageQuery, Uuid } from '~/platform/http/schema'
import type { Session } from '~/platform/http/session'
import { MachineKey, MachineKeyWithSecret, NewMachineKey, Rotation } from './schema'
import type { MachineKeyService } from './service'

const Client = t.Object({ client_id: Uuid })
const OneKey = t.Object({ client_id: Uuid, machine_key_id: Uuid })

/** For the owners of a client. Keys cannot make keys. */
export const machineKeyRoutes = ({ machineKeys, session }: { machineKeys: MachineKeyService; session: Session }) =>
  new Elysia({ prefix: '/clients', tags: ['machine keys'] })
    .use(session)
    .get(
      '/:client_id/machine-keys',
      async ({ principal, params, query, request, set }) => {
        const page = cursorPageOf(request, query)
        const { items, total, last } = await machineKeys.list(principal, params.client_id, page)
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        params: Client,
        query: t.Object({ ...PageQuery, ...CursorQuery }),
        response: { 200: t.Array(MachineKey) },
        detail: { summary: "List a client's machine keys", responses: countedList, ...neverAnswers(404) },
      },
    )
    .post(
      '/:client_id/machine-keys',
      async ({ principal, params, body, request, status }) =>
        status(201, await machineKeys.create(idempotent(principal, request, body), params.client_id, body)),
      {
        params: Client,
        body: NewMachineKey,
        response: { 201: MachineKeyWithSecret },
        detail: {
          summary: 'Make a key for a program; its secret is shown once',
          description: 'Send it as `Authorization: Bearer evo_mk_…` or in `x-api-key`.',
          parameters: [idempotencyKey],
        },
      },
    )
    .post(
      '/:client_id/machine-keys/:machine_key_id/rotate',
      ({ principal, params, body, request }) =>
        machineKeys.rotate(idempotent(principal, request, body), params.client_id, params.machine_key_id, body?.overlap_seconds),
      {
        params: OneKey,
        body: Rotation,
        response: { 200: MachineKeyWithSecret },
        detail: {
          summary: 'Give a key a new secret; the former one is good for a while',
          parameters: [idempotencyKey],
          responses: problemsOf(409),
        },
      },
    )
    .delete(
      '/:client_id/machine-keys/:machine_key_id',
      async ({ principal, params, set }) => {
        await machineKeys.revoke(principal, params.client_id, params.machine_key_id)
        set.status = 204
      },
      { params: OneKey, detail: { summary: 'Revoke a key at once' } },
    )
