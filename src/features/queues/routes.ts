import { Elysia, t } from 'elysia'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList, neverAnswers, problemsOf } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { Message, PageQuery, pageOf, Uuid } from '~/platform/http/schema'
import type { Session } from '~/platform/http/session'
import { DeadLetter, Queue, QueueName } from './schema'
import type { QueueService } from './service'

const One = t.Object({ queue: QueueName })
const Letter = t.Object({ queue: QueueName, letter_id: Uuid })

export const queueRoutes = ({ queues, session }: { queues: QueueService; session: Session }) =>
  new Elysia({ prefix: '/admin/queues', tags: ['queues'] })
    .use(session)
    .get('/', ({ principal }) => queues.list(principal), {
      response: { 200: t.Array(Queue) },
      detail: { summary: 'How far behind the background workers are' },
    })
    .get(
      '/:queue/dead',
      async ({ principal, params, query, request, set }) => {
        const page = pageOf(query)
        const { items, total } = await queues.listDead(principal, params.queue, page)
        Object.assign(set.headers, pageHeaders(request, page, total))
        return items
      },
      {
        params: One,
        query: t.Object(PageQuery),
        response: { 200: t.Array(DeadLetter) },
        detail: { summary: 'What was set aside, newest first', responses: countedList, ...neverAnswers(404) },
      },
    )
    .post(
      '/:queue/dead/:letter_id/replay',
      async ({ principal, params, request, status }) =>
        status(202, await queues.replay(idempotent(principal, request, undefined), params.queue, params.letter_id)),
      {
        params: Letter,
        response: { 202: Message },
        detail: { summary: 'Have an entry worked on again', responses: problemsOf(409), parameters: [idempotencyKey] },
      },
    )
    .delete(
      '/:queue/dead/:letter_id',
      async ({ principal, params, set }) => {
        await queues.discard(principal, params.queue, params.letter_id)
        set.status = 204
      },
      { params: Letter, detail: { summary: 'Forget an entry that was set aside' } },
    )
