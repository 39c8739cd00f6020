import { desc, isNotNull } from 'drizzle-orm'
import { Elysia, t } from 'elysia'
import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import { deliveries } from './table'

const SHOWN = 100
const PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'"
const BODY_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-popups allow-top-navigation-by-user-activation"

/** Development only: the mails that were kept instead of sent. As a page for people, as JSON for scripts (`Accept: application/json`). */
export const mailboxRoutes = ({ db }: { db: Db }) =>
  new Elysia({ prefix: '/dev/mailbox', detail: { hide: true } })
    .get('/', async ({ request, set }) => {
      const mails = await listKept(db)
      if (request.headers.get('accept')?.includes('application/json')) return mails
      set.headers['content-type'] = 'text/html; charset=utf-8'
      set.headers['content-security-policy'] = PAGE_POLICY
      return page(mails)
    })
    .get(
      '/:id/body',
      async ({ params, set }) => {
        const mail = (await listKept(db)).find(({ id }) => id === params.id)
        if (mail === undefined) throw new DomainError('not-found', 'Mail not found')
        set.headers['content-type'] = 'text/html; charset=utf-8'
        set.headers['content-security-policy'] = BODY_POLICY
        return mail.html ?? ''
      },
      { params: t.Object({ id: t.String({ maxLength: 40 }) }) },
    )

const listKept = (db: Db) =>
  db
    .select({
      id: deliveries.id,
      to: deliveries.recipient,
      subject: deliveries.subject,
      template: deliveries.template,
      state: deliveries.state,
      text: deliveries.bodyText,
      html: deliveries.bodyHtml,
      created_at: deliveries.createdAt,
    })
    .from(deliveries)
    .where(isNotNull(deliveries.bodyText))
    .orderBy(desc(deliveries.createdAt), desc(deliveries.id))
    .limit(SHOWN)

type Kept = Awaited<ReturnType<typeof listKept>>[number]

const page = (mails: Kept[]) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Mailbox</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
details{border-bottom:1px solid #8884;padding:.5rem 0}summary{cursor:pointer}iframe{width:100%;height:26rem;border:1px solid #8884;background:#fff}pre{white-space:pre-wrap}</style>
<h1>Mailbox</h1>
<p>Mails that this development server kept instead of sending them, newest first.</p>
${mails.map(item).join('\n') || '<p>None yet.</p>'}
</html>
`

const item = ({ id, to, subject, created_at, text }: Kept) =>
  `<details><summary>${escapeHtml(subject)}<br><small>${escapeHtml(to)}, ${created_at.toISOString()}</small></summary>
<iframe src="/dev/mailbox/${id}/body" title="${escapeHtml(subject)}" loading="lazy"></iframe><pre>${escapeHtml(text ?? '')}</pre></details>`

const escapeHtml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
