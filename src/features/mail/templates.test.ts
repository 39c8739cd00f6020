import { expect, test } from 'bun:test'
import { LOCALES } from '~/platform/locale'
import { TEMPLATES } from './schema'
import { createTemplates } from './templates'

const render = createTemplates({
  appUrl: 'https://app.example',
  verifyTtlSeconds: 86_400,
  resetTtlSeconds: 3600,
  invitationTtlSeconds: 604_800,
  lockout: { attempts: 5, seconds: 1800 },
})

test.each([
  ['verify-email', 'Email Verification - Evo AI', 'https://app.example/security/verify-email?code=T0ken', 'valid for 24 hours'],
  ['reset-password', 'Password Reset - Evo AI', 'https://app.example/security/reset-password?token=T0ken', 'valid for 1 hour.'],
] as const)(
  '%s has its subject, its link and the validity that is configured, as HTML and as text',
  (template, subject, link, validity) => {
    const mail = render(template, { email: 'sam@acme.example', token: 'T0ken' })
    expect(mail.subject).toBe(subject)
    expect(mail.link).toBe(link)
    for (const body of [mail.text, mail.html]) {
      expect(body).toContain(link)
      expect(body).toContain(validity)
      expect(body).toContain('Hello sam,')
    }
  },
)

test.each([
  [1800, '30 minutes'],
  [3600, '1 hour'],
  [7200, '2 hours'],
  [172_800, '48 hours'],
])('a validity of %d s reads %s', (verifyTtlSeconds, words) => {
  const other = createTemplates({
    appUrl: 'https://app.example',
    verifyTtlSeconds,
    resetTtlSeconds: 3600,
    invitationTtlSeconds: 604_800,
    lockout: { attempts: 5, seconds: 1800 },
  })
  expect(other('verify-email', { email: 'sam@acme.example', token: 'x' }).text).toContain(`valid for ${words}.`)
})

test.each([
  ['<script>alert(1)</script>', '&lt;script&gt;alert(1)&lt;/script&gt;'],
  [`"><a href='https://evil.example'>`, '&quot;&gt;&lt;a href=&#39;https://evil.example&#39;&gt;'],
  [`{{link}}\${x}&amp;`, `{{link}}\${x}&amp;amp;`],
])('QUEUE-01: the name %s is text', (name, escaped) => {
  const { html, subject } = render('verify-email', { email: `${name}@acme.example`, token: 'x' })
  expect(html).toContain(`Hello ${escaped},`)
  expect(html).not.toContain('<script')
  expect(html.match(/<a /g)).toHaveLength(2)
  expect(subject).toBe('Email Verification - Evo AI')
})

test('QUEUE-01: a name cannot end a line, and a long one is cut', () => {
  const { text } = render('verify-email', { email: `a\r\n\r\nb\u2028c\u202ed${'e'.repeat(300)}@acme.example`, token: 'x' })
  expect(text).toMatch(/^Hello a b c de{57},$/m)
})

test('an invitation names the client, as text, in one line', () => {
  const mail = render('invitation', { email: 'sam@acme.example', token: 'T0ken', clientName: '<b>Acme</b>\r\nLtd' })
  expect(mail).toMatchObject({ subject: 'Invitation to Evo AI', link: 'https://app.example/security/accept-invitation?token=T0ken' })
  expect(mail.text).toContain('<b>Acme</b> Ltd invites you')
  expect(mail.html).toContain('&lt;b&gt;Acme&lt;/b&gt; Ltd invites you')
  expect(mail.text).toContain('valid for 168 hours')
})

test('a long name is cut between characters', () => {
  const { text, html } = render('invitation', { email: 'sam@acme.example', token: 'T0ken', clientName: `${'a'.repeat(63)}🌍 and more` })
  expect(text).toContain(`${'a'.repeat(63)}🌍 invites you`)
  expect(text.isWellFormed() && html.isWellFormed()).toBe(true)
})

test('a mail about an existing account carries no one-time link', () => {
  const { text, html, link } = render('already-registered', { email: 'sam@acme.example' })
  expect(link).toBe('https://app.example')
  expect(text + html).not.toMatch(/code=|token=/)
})

test.each(TEMPLATES)(
  '%s is written in every language: HTML and text say the same, and the link carries nothing but the token',
  (template) => {
    const facts = { email: 'sam@acme.example', token: 'T0ken', clientName: 'Acme', newEmail: 'sam@new.example' }
    const mails = LOCALES.map((locale) => render(template, { ...facts, locale }))
    expect(new Set(mails.map(({ subject }) => subject)).size).toBe(LOCALES.length)
    for (const { html, text, link } of mails) {
      const [heading = '', ...lines] = text.split('\n').filter((line) => line !== '' && line !== '-- ')
      expect(html).toContain(`<title>${heading}</title>`)
      for (const line of lines) expect(html).toContain(line.replace(/:$/, ''))
      expect(link).toMatch(/^https:\/\/app\.example(\/[a-z/-]+(\?(code|token)=T0ken)?)?$/)
      expect(html).toContain('prefers-color-scheme:dark')
    }
  },
)

test.each([
  ['pt-BR', 'Olá, sam,', 'vale por 24 horas'],
  ['pt', 'Olá, sam,', 'vale por 24 horas'],
  ['ptolemaic', 'Hello sam,', 'valid for 24 hours'],
  ['en-GB', 'Hello sam,', 'valid for 24 hours'],
  ['xx', 'Hello sam,', 'valid for 24 hours'],
])('a user whose language is %s is greeted with %s', (locale, greeting, validity) => {
  const { text } = render('verify-email', { email: 'sam@acme.example', token: 'x', locale })
  expect(text).toContain(greeting)
  expect(text).toContain(validity)
})

test('a new sign-in is told with its place, program and time; all of them are text', () => {
  const signIn = { address: '192.0.2.1', userAgent: '<img src=x>\r\nX', at: new Date('2026-11-25T08:30:00Z') }
  const { html, text } = render('new-sign-in', { email: 'sam@acme.example', signIn })
  expect(text).toContain('from 192.0.2.1 with <img src=x> X on November 25, 2026 at 8:30')
  expect(html).not.toContain('<img')
})
