import { expect, test } from 'bun:test'
import type { TSchema } from '@sinclair/typebox'
import { Elysia, t } from 'elysia'
import { DomainError, type DomainErrorOptions, type FieldError, type ProblemName } from '../errors'
import { createLog } from '../log'
import { gate } from './gate'
import { PROBLEMS, pathOf, problems } from './problems'
import { choice, Name, OptionalId, Uuid } from './schema'

const NAMES = Object.keys(PROBLEMS) as ProblemName[]

async function answerTo(problem: ProblemName, options?: DomainErrorOptions) {
  const lines: string[] = []
  const app = new Elysia()
    .use(gate({ allowedHosts: ['localhost'], allowAddresses: false, trustedProxies: [] }))
    .use(problems({ apiUrl: 'https://api.example', log: createLog({ level: 'debug', write: (line) => lines.push(line) }) }))
    .get('/some/path', () => {
      throw new DomainError(problem, 'What went wrong.', options)
    })
  const response = await app.handle(new Request('http://localhost/some/path?secret=1', { headers: { host: 'localhost' } }))
  return { status: response.status, headers: response.headers, body: (await response.json()) as Record<string, unknown>, lines }
}

test('every problem is a complete document that no cache keeps, under the id of its request', async () => {
  for (const name of NAMES) {
    const { status, headers, body } = await answerTo(name)
    expect(status).toBe(PROBLEMS[name].status)
    expect(body).toEqual({
      type: `https://api.example/problems/${name}`,
      title: PROBLEMS[name].title,
      status,
      detail: 'What went wrong.',
      message: 'What went wrong.',
      instance: '/some/path',
      trace_id: headers.get('x-request-id'),
    })
    expect([headers.get('content-type'), headers.get('cache-control')]).toEqual(['application/problem+json', 'no-store'])
  }
})

test('every 401 says how to authenticate, every 429 and 503 when to come back, and only our own faults are logged', async () => {
  for (const name of NAMES) {
    const { status, headers, lines } = await answerTo(name)
    const told = { challenge: headers.has('www-authenticate'), retry: headers.has('retry-after'), logged: lines.length > 0 }
    const wanted = {
      challenge: status === 401 || name === 'invalid-request',
      retry: status === 429 || status === 503 || name === 'idempotency-in-progress',
      logged: status >= 500,
    }
    expect({ name, ...told }).toEqual({ name, ...wanted })
  }
  expect((await answerTo('unauthenticated')).headers.get('www-authenticate')).toBe('Bearer')
  expect((await answerTo('invalid-token')).headers.get('www-authenticate')).toBe('Bearer error="invalid_token"')
})

/** What a route answers to a body that it takes by this schema. */
function answersBy(body: TSchema): (sent: object) => Promise<Response> {
  const app = new Elysia({ normalize: false })
    .use(gate({ allowedHosts: ['localhost'], allowAddresses: false, trustedProxies: [] }))
    .use(problems({ apiUrl: 'https://api.example', log: createLog({ level: 'silent' }) }))
    .post('/', () => 'taken', { body })
  const headers = { host: 'localhost', 'content-type': 'application/json' }
  return (sent) => app.handle(new Request('http://localhost/', { method: 'POST', headers, body: JSON.stringify(sent) }))
}

test('what may be null and is not is refused with the pointers of its own faults', async () => {
  const item = t.Object({ name: t.String(), note: t.Optional(t.Nullable(t.String())) }, { additionalProperties: false })
  const body = t.Object({
    items: t.Optional(t.Nullable(t.Array(item))),
    either: t.Optional(t.Union([t.Integer(), t.Boolean()])),
    id: OptionalId,
    name: t.Optional(t.Nullable(t.Union([Name, t.Literal('')]))),
  })
  const answer = answersBy(body)
  const refused = async (sent: object) => {
    const response = await answer(sent)
    if (response.ok) return 'taken'
    const { errors } = (await response.json()) as { errors: { pointer: string; code: string }[] }
    return errors.map(({ pointer, code }) => `${pointer} ${code}`)
  }
  expect(await refused({ items: null })).toBe('taken')
  expect(await refused({ items: [{ name: 'a', note: null }] })).toBe('taken')
  expect(await refused({ items: [{ name: 'a', note: 5, url: 'c' }, {}] })).toEqual([
    '/items/0/url unknown-property',
    '/items/0/note invalid',
    '/items/1/name required',
  ])
  expect(await refused({ items: 5, either: 'x' })).toEqual(['/items invalid', '/either choice'])
  expect(await refused({ id: '', name: null })).toBe('taken')
  expect(await refused({ id: 'x', name: 'x'.repeat(201) })).toEqual(['/id invalid', '/name length'])
})

test('what is absent is required, whatever rule its value has', async () => {
  const body = t.Object({
    id: Uuid,
    name: Name,
    note: t.String(),
    kind: choice(['a', 'b']),
    code: t.String({ minLength: 2, maxLength: 3 }),
  })
  const answer = answersBy(body)
  const errorsOf = async (sent: object) => ((await (await answer(sent)).json()) as { errors: FieldError[] }).errors
  const required = ['id', 'name', 'note', 'kind', 'code'].map((field) => ({
    pointer: `/${field}`,
    code: 'required',
    message: 'Is required',
  }))
  expect(await errorsOf({})).toEqual(required)
  expect(await errorsOf({ id: 'x', name: '', note: 5, kind: 'c', code: 'x' })).toEqual([
    { pointer: '/id', code: 'invalid', message: 'Must be a UUID' },
    { pointer: '/name', code: 'length', message: 'Expected a length of 1 to 200 characters' },
    { pointer: '/note', code: 'invalid', message: 'Expected string' },
    { pointer: '/kind', code: 'choice', message: 'Must be one of a, b' },
    { pointer: '/code', code: 'length', message: 'Expected a length of 2 to 3 characters' },
  ])
})

test('a wait is told in whole seconds, at least one', async () => {
  for (const [seconds, told] of [
    [0, '1'],
    [0.2, '1'],
    [1.2, '2'],
    [90, '90'],
  ] as const)
    expect((await answerTo('rate-limited', { retryAfterSeconds: seconds })).headers.get('retry-after')).toBe(told)
})

test('the cause of a problem is for the log alone', async () => {
  const { body, headers, lines } = await answerTo('internal', { cause: new Error('the cause') })
  expect(JSON.stringify([body, ...headers])).not.toContain('the cause')
  expect(lines.join()).toContain('the cause')
})

test('the path of a URL is found also where the URL is none', () => {
  for (const [url, path] of [
    ['http://localhost/a/b?c=/d#e', '/a/b'],
    ['http://localhost', '/'],
    ['https://[::1]:8000/a', '/a'],
    ['/a/b?c', '/a/b'],
    ['http:///a', '/a'],
    ['evil.example:80', 'evil.example:80'],
  ] as const)
    expect(pathOf(url)).toBe(path)
})
