import { expect, test } from 'bun:test'
import { shortestOf } from '../../tests/support/shortest-of'
import { createLog, redactText } from './log'

const logged = (fields: Record<string, unknown>, pretty = false) => {
  const lines: string[] = []
  createLog({ level: 'debug', pretty, write: (line) => lines.push(line) }).info('said', fields)
  return lines.join('\n')
}

const SECRET = 'Zk3v9q0Yx7Lr2Wn8Tb5Hc1Md6Pf4'
const JWT = `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.${SECRET}`
const BCRYPT = '$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW'

const texts: Record<string, string> = {
  'a PostgreSQL URL': `connect postgres://evo:${SECRET}@db:5432/evo failed`,
  'a URL whose password holds slashes and at signs': `postgres://evo:a/b@${SECRET}@db/evo`,
  'a Redis URL without a user': `redis://:${SECRET}@cache:6379/0`,
  'a URL with a token for its user': `https://${SECRET}@git.example/x.git`,
  'a connection string': `host=db user=evo password=${SECRET} dbname=evo`,
  'a header': `Authorization: Bearer ${SECRET}`,
  'a header in JSON': `{"authorization":"Basic ${SECRET}"}`,
  'a password in JSON': `body was {"email":"a@b.co","password":"two words ${SECRET}"}`,
  'a password in JSON in JSON': `{\\"password\\":\\"${SECRET}\\"}`,
  'an API key header': `x-api-key: ${SECRET}`,
  'a JWT': `token ${JWT} refused`,
  'half a JWT': `${JWT.slice(0, 40)}`,
  'an OpenAI key': `sk-proj-${SECRET}`,
  'an Anthropic key': `sk-ant-api03-${SECRET}`,
  'a Google key': `AIzaSy${SECRET}`,
  'a SendGrid key': `SG.${SECRET}.${SECRET}`,
  'an Amazon key': 'AKIAZK3V9Q0YX7LR2WN8',
  'a GitHub token': `ghp_${SECRET}`,
  'a query': `/callback?code=${SECRET}&state=1`,
  'a query of Google': `https://generativelanguage.googleapis.com/v1beta/models?key=${SECRET}`,
  'the link of a mail': `https://app.example/security/reset-password?token=${SECRET}`,
  'the path of a mail’s link': `/api/v1/auth/verify-email/${SECRET}`,
  'a password hash': `row ${BCRYPT}`,
  'a private key': `-----BEGIN PRIVATE KEY-----\n${SECRET}\n${SECRET}\n-----END PRIVATE KEY-----`,
}
test('no value of a failed statement shows, neither in the message nor in the stack', () => {
  const error = new Error(`Failed query: insert into "users" values ($1, $2)\nparams: ada@example.com,${SECRET}\nsecond line ${SECRET}`)
  expect(logged({ error })).toContain('insert into \\"users\\" values ($1, $2)\\nparams: ***\\n    at ')
  expect(logged({ error })).not.toMatch(/ada@|Zk3v|second line/)
})

const parts = [SECRET, JWT.split('.')[1] ?? '', BCRYPT.slice(8), 'AKIAZK3V9Q0YX7LR2WN8']
const shows = (line: string) => parts.filter((part) => line.includes(part))

for (const [label, text] of Object.entries(texts)) {
  test(`no secret shows from ${label}, wherever it stands`, () => {
    const error = new Error('failed', { cause: new Error(text) })
    expect(shows(redactText(text))).toEqual([])
    expect(shows(logged({ text, list: [text], deep: { a: { b: text } }, error }))).toEqual([])
    expect(shows(logged({ text, error }, true))).toEqual([])
    // Also where the text is too long and the cut goes through it.
    for (const before of [3950, 4000, 4960]) expect(shows(redactText(`${'x '.repeat(before / 2)}${text}`))).toEqual([])
  })
}

test('a field that is named like a secret has no value, of whatever type', () => {
  const names = [
    'password',
    'new_password',
    'passwordHash',
    'token',
    'access_token',
    'api_key',
    'apiKey',
    'x-api-key',
    'key_value',
    'secret',
  ]
  for (const name of [...names, 'JWT_SECRET_KEY', 'authorization', 'Cookie', 'private_key', 'encrypted_key', 'credentials', 'dsn'])
    for (const value of [SECRET, 123456, [SECRET], { a: SECRET }])
      expect(logged({ [name]: value, in: { [name]: value } })).not.toMatch(/Zk3v|123456/)
})

test('what is no secret stays readable', () => {
  for (const text of [
    'GET /api/v1/agents/3f0e2c5e-0d0c-4ad5-9f0a-6f1f1de0a1b2',
    'duplicate key value violates unique constraint "users_email_key" (code 23505)',
    'connect ECONNREFUSED 127.0.0.1:5432',
    'http://localhost:8000/problems/not-found',
    'max_tokens: 512, completion tokens: 12',
    'at verify (/app/src/platform/tokens.ts:42:7)',
  ])
    expect(redactText(text)).toBe(text)
})

test('hostile values cost little and break no line', () => {
  const hostile = ['://a:'.repeat(4000), 'a'.repeat(1_000_000), 'password='.repeat(2000), '-----BEGIN '.repeat(2000), 'eyJ'.repeat(5000)]
  const logAll = () => {
    for (const text of hostile) logged({ text })
  }
  expect(shortestOf(3, logAll)).toBeLessThan(200)
  const circle: Record<string, unknown> = { bytes: new Uint8Array(1_000_000), big: 10n, when: new Date(0), nothing: undefined }
  circle.self = circle
  expect(logged(circle).length).toBeLessThan(2000)
  expect(logged({ path: 'a\nlevel=ERROR forged\u001b[2J' })).not.toContain('\n')
  expect(logged({ path: 'a\nlevel=ERROR forged\u001b[2J' }, true)).toEndWith('path=a\\u000alevel=ERROR forged\\u001b[2J')
})
