import { Elysia, t } from 'elysia'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { pageOf, Uuid } from '~/platform/http/schema'
import type { OpenSession } from '~/platform/http/session'
import { Approval, ApprovalDecision, ApprovalQuery, RunApproval } from './schema'
import type { ApprovalService } from './service'

const Params = t.Object({ approval_id: Uuid })

export const approvalRoutes = ({ approvals, session }: { approvals: ApprovalService; session: OpenSession }) =>
  new Elysia({ tags: ['runs'] })
    .use(session)
    .get(
      '/approvals/',
      async ({ principal, query, request, set }) => {
        const page = pageOf(query)
        const { items, total } = await approvals.list(principal, { ...page, state: query.state, runId: query.run_id })
        Object.assign(set.headers, pageHeaders(request, page, total))
        return items
      },
      {
        query: ApprovalQuery,
        response: { 200: t.Array(Approval) },
        detail: { summary: 'What agents want to do and need consent for, newest first', responses: countedList },
      },
    )
    .get('/approvals/:approval_id', ({ principal, params }) => approvals.get(principal, params.approval_id), {
      params: Params,
      response: { 200: Approval },
      detail: { summary: 'One question of an agent' },
    })
    .post(
      '/approvals/:approval_id/decision',
      ({ principal, params, body, request }) => approvals.decide(idempotent(principal, request, body), params.approval_id, body),
      {
        params: Params,
        body: ApprovalDecision,
        response: { 200: Approval },
        detail: { summary: 'Allow it, maybe with other arguments, or refuse it', parameters: [idempotencyKey] },
      },
    )
    .post(
      '/runs/:run_id/approve',
      ({ principal, params, body, request }) => approvals.decideOf(idempotent(principal, request, body), params.run_id, body),
      {
        params: t.Object({ run_id: Uuid }),
        body: RunApproval,
        response: { 200: Approval },
        detail: { summary: 'The same for the one thing that a run waits for', parameters: [idempotencyKey] },
      },
    )
