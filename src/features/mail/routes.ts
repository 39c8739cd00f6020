import { Elysia, t } from 'elysia'
import { positionOf } from '~/platform/http/cursor'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList, partlyCountedList, problemsOf } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { rawBody } from '~/platform/http/raw-body'
import { Message, PageQuery, pageOf, Uuid } from '~/platform/http/schema'
import type { Session } from '~/platform/http/session'
import type { MailEventService } from './event-service'
import { Email, EmailDetail, EmailQuery, Suppression } from './schema'
import type { EmailService } from './service'

const One = t.Object({ email_id: Uuid })

export const emailRoutes = ({ emails, session }: { emails: EmailService; session: Session }) =>
  new Elysia({ prefix: '/admin', tags: ['mails'] })
    .use(session)
    .get(
      '/emails',
      async ({ principal, query: { skip, limit, cursor, ...filter }, request, set }) => {
        const page = { ...pageOf({ ...(skip && { skip }), ...(limit && { limit }) }), after: positionOf(request, cursor) }
        const { items, total, last } = await emails.list(principal, filter, page)
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        query: EmailQuery,
        response: { 200: t.Array(Email) },
        detail: { summary: 'What became of mails, newest first', responses: partlyCountedList },
      },
    )
    .get('/emails/:email_id', ({ principal, params }) => emails.get(principal, params.email_id), {
      params: One,
      response: { 200: EmailDetail },
      detail: { summary: 'One mail, with what its provider told about it' },
    })
    .post(
      '/emails/:email_id/resend',
      async ({ principal, params, request, status }) =>
        status(202, await emails.resend(idempotent(principal, request, undefined), params.email_id)),
      {
        params: One,
        response: { 202: Message },
        detail: { summary: 'Send a mail again', responses: problemsOf(409), parameters: [idempotencyKey] },
      },
    )
    .get(
      '/email-suppressions',
      async ({ principal, query, request, set }) => {
        const page = pageOf(query)
        const { items, total } = await emails.listSuppressions(principal, page)
        Object.assign(set.headers, pageHeaders(request, page, total))
        return items
      },
      {
        query: t.Object(PageQuery),
        response: { 200: t.Array(Suppression) },
        detail: { summary: 'Addresses that are not written to any more', responses: countedList },
      },
    )
    .delete(
      '/email-suppressions/:email',
      async ({ principal, params, set }) => {
        await emails.liftSuppression(principal, params.email)
        set.status = 204
      },
      {
        params: t.Object({ email: t.String({ minLength: 3, maxLength: 254 }) }),
        detail: { summary: 'Write to an address again' },
      },
    )

/** For the mail provider alone, which shows by its signature who it is. */
export const mailEventRoutes = ({ mailEvents }: { mailEvents: MailEventService }) =>
  new Elysia({ prefix: '/webhooks', tags: ['mails'] }).post(
    '/sendgrid',
    async ({ body, headers, set }) => {
      await mailEvents.receive({
        body: rawBody(body),
        signature: headers['x-twilio-email-event-webhook-signature'] ?? null,
        timestamp: headers['x-twilio-email-event-webhook-timestamp'] ?? null,
      })
      set.status = 204
    },
    {
      detail: {
        summary: "SendGrid's Event Webhook: signed reports of what became of mails",
        security: [],
        responses: problemsOf(400, 401, 413, 503),
      },
    },
  )
