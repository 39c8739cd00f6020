import { Elysia, t } from 'elysia'
import { invalid } from '~/platform/errors'
import { positionOf } from '~/platform/http/cursor'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { neverAnswers, partlyCountedList } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { pageOf, Uuid } from '~/platform/http/schema'
import type { Session } from '~/platform/http/session'
import { textStream } from '~/platform/http/text-stream'
import type { Head } from './chain'
import { AdminExportQuery, AdminListQuery, AuditLog, Erased, Erasure, ExportQuery, ListQuery, Verification, VerifyQuery } from './schema'
import type { AuditService } from './service'

const NDJSON = 'application/x-ndjson'
const exported = {
  200: {
    description: 'One row a line, each with `seq`, `prev_hash` and `hash`: its place in the chain.',
    content: { [NDJSON]: { schema: { type: 'string' as const } } },
  },
}
export const auditRoutes = ({ audit, session }: { audit: AuditService; session: Session }) =>
  new Elysia()
    .use(session)
    .get(
      '/admin/audit-logs',
      async ({ principal, query: { skip, limit, cursor, ...filter }, request, set }) => {
        const page = { ...pageOf({ ...(skip && { skip }), ...(limit && { limit }) }), after: positionOf(request, cursor) }
        const { items, total, last } = await audit.list(principal, filter, page)
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        query: AdminListQuery,
        response: { 200: t.Array(AuditLog) },
        detail: { tags: ['audit'], summary: 'Who did what, newest first; admins only', responses: partlyCountedList },
      },
    )
    .get('/admin/audit-logs/export', async ({ principal, query }) => textStream(NDJSON, await audit.export(principal, query)), {
      query: AdminExportQuery,
      detail: { tags: ['audit'], summary: 'The same as lines of JSON, streamed', responses: exported },
    })
    .get(
      '/admin/audit-logs/verify',
      ({ principal, query: { client_id, after, anchor_seq, anchor_hash } }) =>
        audit.verify(principal, {
          clientId: client_id ?? null,
          after: after === undefined ? undefined : Number(after),
          anchor: anchorOf(anchor_seq, anchor_hash),
        }),
      {
        query: VerifyQuery,
        response: { 200: Verification },
        detail: { tags: ['audit'], summary: 'Check a chain: rows that were altered, removed or reordered are found' },
      },
    )
    .post('/admin/audit-logs/erase', ({ principal, body, request }) => audit.erase(idempotent(principal, request, body), body), {
      body: Erasure,
      response: { 200: Erased },
      detail: { tags: ['audit'], summary: 'Erase the personal part of rows; the chains stay whole', parameters: [idempotencyKey] },
    })
    .get(
      '/clients/:client_id/audit-logs',
      async ({ principal, params, query: { skip, limit, cursor, ...filter }, request, set }) => {
        const page = { ...pageOf({ ...(skip && { skip }), ...(limit && { limit }) }), after: positionOf(request, cursor) }
        const { items, total, last } = await audit.list(principal, { ...filter, client_id: params.client_id }, page)
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        params: t.Object({ client_id: Uuid }),
        query: ListQuery,
        response: { 200: t.Array(AuditLog) },
        detail: {
          tags: ['audit'],
          summary: 'Who did what in a client, newest first; owners only',
          responses: partlyCountedList,
          ...neverAnswers(404),
        },
      },
    )
    .get(
      '/clients/:client_id/audit-logs/export',
      async ({ principal, params, query }) => textStream(NDJSON, await audit.export(principal, { ...query, client_id: params.client_id })),
      {
        params: t.Object({ client_id: Uuid }),
        query: ExportQuery,
        detail: { tags: ['audit'], summary: 'The same as lines of JSON, streamed', responses: exported, ...neverAnswers(404) },
      },
    )

/** @throws DomainError `validation-failed` for one half alone, which would check nothing */
function anchorOf(seq: string | undefined, hash: string | undefined): Head | undefined {
  if (seq === undefined && hash === undefined) return undefined
  if (seq === undefined) throw invalid('/query/anchor_seq', 'required', 'anchor_hash is checked at a row: name anchor_seq too')
  if (hash === undefined)
    throw invalid('/query/anchor_hash', 'required', 'anchor_seq is a row whose hash you noted down: name anchor_hash too')
  return { seq: Number(seq), hash }
}
