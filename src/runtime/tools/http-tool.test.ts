import { describe, expect, test } from 'bun:test'
import { DomainError } from '~/platform/errors'
import { silentLog } from '~/platform/log'
import { createOutbound } from '~/platform/outbound'
import { shortestOf } from '../../../tests/support/shortest-of'
import { checkHttpTool, createHttpTool, type HttpToolSpec } from './http-tool'
import { type Answer, call, fakes, order, run, weather } from './testing'

describe('what is sent', () => {
  test('path, query and headers are filled from defaults and arguments, each in its own place', async () => {
    const { sent, result } = await run(weather, { city: 'São Paulo/x?y#z' })
    expect(result).toEqual({ ok: true })
    expect(sent[0]).toMatchObject({
      method: 'GET',
      url: 'https://api.example.com/cities/S%C3%A3o%20Paulo%2Fx%3Fy%23z/weather?units=metric&fields=temp%2Cwind',
      headers: { Authorization: 'Bearer k-123' },
    })
    expect(sent[0]).not.toHaveProperty('body')
    expect((await run(weather, { city: 'Rome', units: 'kelvin' })).sent[0]?.url).toContain('?units=kelvin&')
    expect((await run({ ...weather, values: {}, headers: {} }, { city: 'Rome' })).sent[0]?.url).toContain('?units=imperial&')
  })

  test('defect 19: a default goes only where a parameter of its name is declared: none reaches the URL beside it', async () => {
    const { sent } = await run(order, { item: 'A1', gift: true })
    expect(sent[0]?.url).toBe('https://shop.example.com/orders')
    expect(JSON.parse(String(sent[0]?.body))).toEqual({ item: 'A1', count: 1, gift: true, channel: 'chat' })
    expect(sent[0]?.headers).toEqual({ 'Content-Type': 'application/json' })
    expect(JSON.stringify(sent)).not.toContain('s-456')
    const own = await run({ ...order, headers: { 'content-type': 'application/vnd.shop+json' } }, { item: 'A1' })
    expect(own.sent[0]?.headers).toEqual({ 'content-type': 'application/vnd.shop+json' })
  })

  test("the endpoint's own query is kept, its fragment is not sent", async () => {
    const { sent } = await run({ ...weather, endpoint: 'https://api.example.com/{city}?a=1#top' }, { city: 'Rome' })
    expect(sent[0]?.url).toBe('https://api.example.com/Rome?a=1&units=metric&fields=temp%2Cwind')
  })

  test.each(['.', '..', '%2e%2e'])('a path argument (%s) does not climb out of the configured path', async (city) => {
    const { sent, result } = await run({ ...weather, endpoint: 'https://api.example.com/public/{city}' }, { city })
    if (city.startsWith('%')) expect(new URL(sent[0]?.url ?? '').pathname).toBe('/public/%252e%252e')
    else expect([sent.length, result]).toMatchObject([0, { error: 'tool_execution_error' }])
  })

  test('the model cannot choose the host', async () => {
    for (const endpoint of [
      'https://{city}/x',
      'https://a.{city}:80/',
      '{city}',
      'https://user:{city}@example.com/',
      'https:{city}.example.com/',
      'https:/{city}/',
      'https:///{city}.com/',
      'https:/\t/{city}.com/',
      '{city}://example.com/',
      'https://example.com:{city}/',
    ]) {
      const { sent, result } = await run({ ...weather, endpoint }, { city: 'evil.example' })
      expect([sent.length, result]).toMatchObject([0, { error: 'tool_execution_error' }])
    }
  })

  test('half a surrogate pair in an argument does not end the run', async () => {
    const { sent } = await run({ ...weather, headers: {} }, { city: 'a\ud800', units: 'b\udc00' })
    expect(sent[0]?.url).toStartWith('https://api.example.com/cities/a%EF%BF%BD/weather?units=b%EF%BF%BD&')
  })

  test('header placeholders are replaced once and read no attributes; a line break is refused', async () => {
    const spec = { ...weather, headers: { 'X-A': '{city} {city.__class__} {unknown} {{city}}', 'X-B': '{' } }
    const { sent } = await run(spec, { city: '{api_key}' })
    expect(sent[0]?.headers).toEqual({ 'X-A': '{api_key} {city.__class__} {unknown} {{api_key}}', 'X-B': '{' })
    for (const city of ['a\r\nX-C: d', 'a\nb', 'a\0']) {
      const { result, sent: none } = await run(spec, { city })
      expect([none.length, result]).toMatchObject([0, { error: 'tool_execution_error' }])
    }
    const missing = await run({ ...order, headers: { 'X-Gift': '{gift}' } }, { item: 'A1' })
    expect(missing.result).toMatchObject({ message: 'The header X-Gift needs a value for gift' })
  })

  test('placeholders are found in linear time', () => {
    const check = () =>
      checkHttpTool(
        { ...weather, headers: { 'X-A': '{'.repeat(8000) } },
        { check: () => new URL('https://x.example'), checkHeaders() {} },
        '',
      )
    expect(shortestOf(3, check)).toBeLessThan(100)
  })

  test.each([
    ['GET', undefined, 'read-only', undefined],
    ['head', undefined, 'read-only', undefined],
    ['PUT', undefined, 'idempotent', 'step-1'],
    ['DELETE', undefined, 'idempotent', 'step-1'],
    ['POST', undefined, 'unsafe', 'step-1'],
    ['patch', false, 'unsafe', 'step-1'],
    ['POST', true, 'idempotent', 'step-1'],
  ] as const)('%s (idempotent: %p) counts as %s and carries the key %p', async (method, idempotent, effect, key) => {
    const fake = fakes()
    const tool = createHttpTool(
      { name: 'x', method, endpoint: 'https://x.example/', ...(idempotent === undefined ? {} : { idempotent }) },
      fake.deps,
    )
    await tool.execute({}, call())
    expect(tool.effect).toBe(effect)
    expect(fake.sent[0]?.idempotencyKey).toBe(key as string)
    expect(fake.sent[0]?.method).toBe(method.toUpperCase())
  })
})

describe('what the model is told', () => {
  test('required is honoured, defaults make optional and are shown to nobody', () => {
    const { deps } = fakes()
    expect(JSON.parse(JSON.stringify(createHttpTool(weather, deps).inputSchema))).toEqual({
      type: 'object',
      additionalProperties: false,
      required: ['city'],
      properties: {
        city: { type: 'string', minLength: 1, description: 'Name of the city' },
        units: { type: 'string', description: 'Query parameter' },
      },
    })
    const schema = JSON.parse(JSON.stringify(createHttpTool(order, deps).inputSchema))
    expect(schema.required).toEqual(['item'])
    expect(schema.properties).toEqual({
      item: { type: 'string', description: 'Article number' },
      count: { type: 'number', description: 'How many' },
      gift: { type: 'boolean' },
      channel: { type: 'string' },
    })
  })

  test('a name that providers would refuse is made one that they take', () => {
    expect(createHttpTool({ ...weather, name: 'Wetter für München!' }, fakes().deps).name).toBe('Wetter_f_r_M_nchen_')
    expect(createHttpTool({ ...weather, name: 'x'.repeat(100) }, fakes().deps).name).toHaveLength(64)
  })

  test.each<[Record<string, unknown>, string]>([
    [{}, 'item'],
    [{ item: null }, 'item'],
    [{ item: ['A1'] }, 'item'],
    [{ item: 'A1', count: 'many' }, 'count'],
    [{ item: 'A1', gift: 'hunter2' }, 'gift'],
    [{ item: 'A1', secret: 'mine' }, 'secret'],
  ])('a wrong argument is a tool error that names it, and nothing is sent: %p', async (args, name) => {
    const { result, sent } = await run(order, args)
    expect(result).toMatchObject({ error: 'tool_execution_error', message: expect.stringContaining(name) })
    expect(JSON.stringify(result)).not.toContain('hunter2')
    expect(sent).toEqual([])
  })

  test('numbers pass as text where text is declared, and null leaves an optional argument out', async () => {
    expect((await run(weather, { city: 42, units: null })).sent[0]?.url).toBe(
      'https://api.example.com/cities/42/weather?units=metric&fields=temp%2Cwind',
    )
  })

  test.each<[Answer, unknown]>([
    [{ status: 200, body: '[1]' }, [1]],
    [{ status: 201, body: 'null' }, null],
    [{ status: 200, body: 'plain' }, { content: 'plain' }],
    [{ status: 204 }, { content: '' }],
    [
      { status: 404, body: 'no such city' },
      { error: 'tool_execution_error', message: 'HTTP 404: no such city' },
    ],
    [new DomainError('upstream-timeout', 'Too slow'), { error: 'tool_execution_error', message: 'Too slow', problem: 'upstream-timeout' }],
  ])('the answer %j becomes %j', async (answer, result) => {
    expect((await run(weather, { city: 'Rome' }, [answer])).result).toEqual(result)
  })

  test('a failure that repeats the request is shown without its credentials', async () => {
    const body = '{"error":"denied","request":{"authorization":"Bearer k-1234567890","x-api-key":"abc123"}}'
    const { result } = await run(weather, { city: 'Rome' }, [{ status: 403, body }])
    expect(result).toEqual({
      error: 'tool_execution_error',
      message: 'HTTP 403: {"error":"denied","request":{"authorization":***","x-api-key":***"}}',
    })
  })

  test('MCP-08: an answer that repeats the request is passed on without the secrets in it', async () => {
    const keyed = {
      ...weather,
      headers: { Authorization: 'Bearer {api_key}', 'X-Session': 'sk-live-0123456789abcdef', Accept: 'application/json' },
      values: { api_key: 'o-p-e-n-sesame', units: 'metric units' },
    }
    const echo = {
      headers: { authorization: 'Bearer o-p-e-n-sesame', 'x-session': ['sk-live-0123456789abcdef'], accept: 'application/json' },
      said: 'o-p-e-n-sesame twice: o-p-e-n-sesame',
      units: 'metric units',
      count: 3,
    }
    const shown = {
      headers: { authorization: 'Bearer ***', 'x-session': ['***'], accept: 'application/json' },
      said: '*** twice: ***',
      units: 'metric units',
      count: 3,
    }
    const answered = async (answer: Answer) => (await run(keyed, { city: 'Rome' }, [answer])).result
    expect(await answered({ status: 200, body: JSON.stringify(echo) })).toEqual(shown)
    expect(await answered({ status: 200, body: 'You are o-p-e-n-sesame.' })).toEqual({ content: 'You are ***.' })
    expect(await answered({ status: 403, body: 'Not o-p-e-n-sesame.' })).toMatchObject({ message: 'HTTP 403: Not ***.' })
  })

  test('JSON too deep to be stored is passed on as text', async () => {
    const body = '['.repeat(50_000) + ']'.repeat(50_000)
    expect((await run(weather, { city: 'Rome' }, [{ status: 200, body }])).result).toEqual({ content: body })
    expect((await run(weather, { city: 'Rome' }, [{ status: 200, body: `["${'['.repeat(1000)}\\"["]` }])).result).toEqual([
      `${'['.repeat(1000)}"[`,
    ])
  })

  test('a configured fallback answers for failures, but not for an address or header that is refused', async () => {
    const spec = { ...weather, error_handling: { fallback_response: { error: 'down', message: 'Try later' } } }
    for (const answer of [{ status: 500 }, new DomainError('upstream-error', 'x')])
      expect((await run(spec, { city: 'Rome' }, [answer])).result).toEqual({ error: 'down', message: 'Try later' })
    for (const problem of ['url-not-allowed', 'validation-failed'] as const)
      expect((await run(spec, { city: 'Rome' }, [new DomainError(problem, 'x')])).result).toMatchObject({ problem })
  })
})

test('SSRF-06, SSRF-08: through the real guard a redirect and an oversized answer are tool errors that show nothing of the answer', async () => {
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: ({ url }) =>
      new URL(url).pathname === '/away'
        ? new Response('the secret', { status: 302, headers: { location: 'http://169.254.169.254/' } })
        : new Response('a secret '.repeat(1000)),
  })
  const outbound = createOutbound({ allow: ['127.0.0.1'], log: silentLog, defaults: { timeoutMs: 1000, maxBytes: 1000 } })
  const tool = createHttpTool({ ...weather, endpoint: `${server.url}{city}` }, { ...fakes().deps, outbound })
  const away = await tool.execute({ city: 'away' }, call())
  const large = await tool.execute({ city: 'large' }, call())
  await server.stop(true)
  expect(away).toMatchObject({ error: 'tool_execution_error', problem: 'url-not-allowed' })
  expect(large).toMatchObject({ error: 'tool_execution_error', problem: 'upstream-error' })
  expect(JSON.stringify([away, large])).not.toContain('secret')
})

describe('retries and deadlines', () => {
  const retried = (method: string, retry_count: number): HttpToolSpec => ({ ...weather, method, error_handling: { retry_count } })

  test.each([
    ['GET', 2, 3],
    ['PUT', 1, 2],
    ['DELETE', 100, 6],
    ['POST', 3, 1],
    ['PATCH', 3, 1],
    ['GET', 0, 1],
  ])('%s with retry_count %i is sent %i times', async (method, count, times) => {
    const { sent, slept } = await run(retried(method, count), { city: 'Rome' }, [{ status: 503 }])
    expect(sent.length).toBe(times)
    expect(slept).toEqual([250, 500, 1000, 2000, 4000].slice(0, times - 1))
  })

  test('defect 19: a retry that succeeds answers; what will not pass is not tried again', async () => {
    const lost = new DomainError('upstream-error', 'lost')
    expect((await run(retried('GET', 3), { city: 'Rome' }, [lost, { status: 200, body: '1' }])).result).toBe(1)
    for (const answer of [{ status: 400 }, { status: 404 }, new DomainError('url-not-allowed', 'no')])
      expect((await run(retried('GET', 3), { city: 'Rome' }, [answer])).sent.length).toBe(1)
  })

  test('Retry-After is honoured up to a bound', async () => {
    const { slept } = await run(retried('GET', 2), { city: 'Rome' }, [
      { status: 429, headers: { 'retry-after': '1' } },
      { status: 429, headers: { 'retry-after': '3600' } },
      { status: 200 },
    ])
    expect(slept).toEqual([1000, 4000])
  })

  test("each attempt has the tool's timeout, all together the server's", async () => {
    const timeoutOf = async (timeout: number | null) =>
      (await run({ ...weather, error_handling: { timeout } }, { city: 'Rome' })).sent[0]?.timeoutMs
    expect(await Promise.all([5, 0, null, 3600].map(timeoutOf))).toEqual([5000, 30_000, 30_000, 60_000])
    const { sent, slept, deps } = fakes([{ status: 503 }])
    await createHttpTool(retried('GET', 5), { ...deps, maxTimeoutMs: 1000 }).execute({ city: 'Rome' }, call())
    expect(sent.map(({ timeoutMs }) => timeoutMs)).toEqual([1000, 750, 250])
    expect(slept).toEqual([250, 500])
  })

  test('a cancelled run rejects with its own reason, during a call and between two', async () => {
    const gone = new Error('the run was cancelled')
    const { deps } = fakes([gone])
    const tool = createHttpTool(retried('GET', 5), deps)
    expect(await tool.execute({ city: 'Rome' }, call(AbortSignal.abort(gone))).catch((error) => error)).toBe(gone)
    const abort = new AbortController()
    const pausing = fakes([{ status: 503 }])
    pausing.deps.clock.sleep = async (_, signal) => {
      abort.abort(gone)
      signal?.throwIfAborted()
    }
    expect(
      await createHttpTool(retried('GET', 5), pausing.deps)
        .execute({ city: 'Rome' }, call(abort.signal))
        .catch((error) => error),
    ).toBe(gone)
    expect(pausing.sent.length).toBe(1)
  })
})
