import { desc, isNotNull } from 'drizzle-orm'
import { Elysia, t } from 'elysia'
import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import { choice } from '~/platform/http/schema'
import { LOCALES } from '~/platform/locale'
import { escapeHtml } from './layout'
import { TEMPLATES } from './schema'
import { deliveries } from './table'
import type { RenderMail } from './templates'

const SHOWN = 100
const PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'"
const BODY_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-popups allow-top-navigation-by-user-activation"

/**
 * Development only: the mails that were kept instead of sent, as a page for people and as JSON for scripts (`Accept: application/json`); and under
 * /previews every mail that there is, in every language.
 */
export const mailboxRoutes = ({ db, render }: { db: Db; render: RenderMail }) =>
  new Elysia({ prefix: '/dev/mailbox', detail: { hide: true } })
    .get('/', async ({ request, set }) => {
      const mails = await listKept(db)
      if (request.headers.get('accept')?.includes('application/json')) return mails
      Object.assign(set.headers, htmlHeaders(PAGE_POLICY))
      return page('Mailbox', 'Mails that this development server kept instead of sending them, newest first.', mails.map(kept))
    })
    .get(
      '/:id/body',
      async ({ params, set }) => {
        const mail = (await listKept(db)).find(({ id }) => id === params.id)
        if (mail === undefined) throw new DomainError('not-found', 'Mail not found')
        Object.assign(set.headers, htmlHeaders(BODY_POLICY))
        return mail.html ?? ''
      },
      { params: t.Object({ id: t.String({ maxLength: 40 }) }) },
    )
    .get('/previews', ({ set }) => {
      Object.assign(set.headers, htmlHeaders(PAGE_POLICY))
      const samples = TEMPLATES.flatMap((template) =>
        LOCALES.map((locale) => sample(template, locale, render(template, sampleFacts(locale)))),
      )
      return page('Previews', 'Every mail in every language, with made-up facts.', samples)
    })
    .get(
      '/previews/:template/:locale',
      ({ params, set }) => {
        Object.assign(set.headers, htmlHeaders(BODY_POLICY))
        return render(params.template, sampleFacts(params.locale)).html
      },
      { params: t.Object({ template: choice(TEMPLATES), locale: choice(LOCALES) }) },
    )

const htmlHeaders = (policy: string) => ({ 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy })

const sampleFacts = (locale: string) => ({
  locale,
  email: 'sam@acme.example',
  token: 'EXAMPLEexampleEXAMPLEexample1234',
  clientName: 'Acme Ltd',
  newEmail: 'sam@new.example',
  signIn: { address: '192.0.2.1', userAgent: 'Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0', at: new Date('2026-11-25T08:30:00Z') },
  budget: { spentUsd: 80, limitUsd: 100 },
})

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

const page = (title: string, about: string, items: string[]) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
details{border-bottom:1px solid #8884;padding:.5rem 0}summary{cursor:pointer}iframe{width:100%;height:34rem;border:1px solid #8884}pre{white-space:pre-wrap}</style>
<h1>${title}</h1>
<p>${about} <a href="/dev/mailbox">Mailbox</a>, <a href="/dev/mailbox/previews">previews</a></p>
${items.join('\n') || '<p>None yet.</p>'}
</html>
`

const kept = ({ id, to, subject, created_at, text }: Kept) =>
  item({ title: subject, about: `${to}, ${created_at.toISOString()}`, body: `/dev/mailbox/${id}/body`, text: text ?? '' })

const sample = (template: string, locale: string, { subject, text }: { subject: string; text: string }) =>
  item({ title: subject, about: `${template}, ${locale}`, body: `/dev/mailbox/previews/${template}/${locale}`, text })

const item = ({ title, about, body, text }: { title: string; about: string; body: string; text: string }) =>
  `<details><summary>${escapeHtml(title)}<br><small>${escapeHtml(about)}</small></summary>
<iframe src="${escapeHtml(body)}" title="${escapeHtml(title)}" loading="lazy"></iframe><pre>${escapeHtml(text)}</pre></details>`
