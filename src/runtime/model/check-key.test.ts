import { afterAll, expect, test } from 'bun:test'
import { fakeTime } from '../../../tests/support/model-calls'
import { createCheckKey, type KeyOutcome } from './check-key'

const KEY = 'a-key-of-the-test-7c1e'

/** Answers each key in a way of its own, at whatever path and in whatever header it comes. */
const answers: Record<string, () => Response | Promise<Response>> = {
  [KEY]: () => Response.json({ data: [] }),
  unknown: () => Response.json({ error: { message: 'Incorrect API key provided: unknown' } }, { status: 401 }),
  misspelt: () => Response.json({ error: { details: [{ reason: 'API_KEY_INVALID' }] } }, { status: 400 }),
  narrow: () => Response.json({}, { status: 403 }),
  busy: () => new Response(null, { status: 429, headers: { 'retry-after': '7' } }),
  broken: () => new Response('x'.repeat(1000), { status: 500 }),
  moved: () => new Response(null, { status: 302, headers: { location: `${server.url}v1/elsewhere` } }),
  portal: () => new Response('<p>Please sign in</p>', { headers: { 'content-type': 'text/html' } }),
  endless: () => new Response(endlessBody(), { status: 400 }),
  silent: () => new Promise<Response>(() => undefined),
}
const asked: string[] = []
const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  fetch({ url, headers }) {
    const { pathname } = new URL(url)
    const name = ['authorization', 'x-api-key', 'x-goog-api-key'].find((header) => headers.has(header)) ?? ''
    asked.push(`${pathname} ${name}`)
    return answers[headers.get(name)?.replace('Bearer ', '') ?? '']?.() ?? new Response(null, { status: 404 })
  },
})
afterAll(() => server.stop(true))

/** Ends only when its reader goes. */
function endlessBody() {
  return new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(16_384)) })
}

const base = `${server.url}v1`
const settings = {
  openaiBaseUrl: base,
  anthropicBaseUrl: base,
  geminiBaseUrl: `${server.url}v1beta/`,
  compatibleBaseUrl: base,
  defaultKeys: {},
}
const check = (provider: string, key: string, { timeoutMs = 60_000, at = settings } = {}) =>
  createCheckKey({ settings: at, clock: fakeTime().clock, timeoutMs })(provider, key, new AbortController().signal)

const KINDS: Record<string, string> = {
  openai: '/v1/models authorization',
  anthropic: '/v1/models x-api-key',
  gemini: '/v1beta/models x-goog-api-key',
  'openai-compatible': '/v1/models authorization',
}

test.each(Object.entries(KINDS))('%s is asked at %s, once, and each of its answers is told apart', async (provider, request) => {
  const expected: [string, KeyOutcome][] = [
    [KEY, 'accepted'],
    ['unknown', 'refused'],
    ['misspelt', 'refused'],
    ['narrow', 'forbidden'],
    ['busy', 'rate-limited'],
    ['broken', 'unexpected'],
    ['moved', 'unexpected'],
    ['portal', 'unexpected'],
    ['endless', 'unexpected'],
  ]
  for (const [key, outcome] of expected) {
    asked.length = 0
    const found = await check(provider, key)
    expect([key, found.outcome, asked]).toEqual([key, outcome, [request]])
    expect(found.detail).not.toContain(key)
  }
})

test('a provider that is away or silent says nothing about the key, and a silent one is left at the deadline', async () => {
  const nobody = { ...settings, openaiBaseUrl: 'http://127.0.0.1:1' }
  expect(await check('openai', KEY, { at: nobody })).toEqual({ outcome: 'unreachable', detail: 'openai could not be reached.' })
  expect(await check('openai', 'silent', { timeoutMs: 10_000 })).toEqual({
    outcome: 'unreachable',
    detail: 'openai did not answer within 10 s.',
  })
})

test('nobody is asked about a key that cannot be sent, or where there is nobody to ask', async () => {
  asked.length = 0
  const nowhere = { ...settings, compatibleBaseUrl: undefined }
  expect((await check('openai', 'two words')).outcome).toBe('refused')
  expect((await check('acme', KEY)).outcome).toBe('unsupported')
  expect((await check('constructor', KEY)).outcome).toBe('unsupported')
  expect((await check('demo', KEY)).outcome).toBe('unsupported')
  expect(
    (await createCheckKey({ settings: nowhere, clock: fakeTime().clock, timeoutMs: 60_000 })('ollama', KEY, new AbortController().signal))
      .outcome,
  ).toBe('unsupported')
  expect(asked).toEqual([])
})
