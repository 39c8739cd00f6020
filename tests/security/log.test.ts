import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { deriveToken } from '~/features/auth/one-time-token'
import { isTurnComplete, openChat } from '../support/chat-socket'
import { placesIn } from '../support/places'
import { PASSWORD, startApp, type TestApp } from '../support/start-app'

const AGENTS = '/api/v1/agents/'

let app: TestApp
let provider: ReturnType<typeof Bun.serve>
beforeAll(async () => {
  // A provider that refuses every key and repeats it, as some do.
  provider = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const key = request.headers.get('authorization')
      return Response.json(
        { error: { message: `Incorrect API key provided: ${key}`, code: 'invalid_api_key', body: await request.text() } },
        { status: 401 },
      )
    },
  })
  app = await startApp({ RATE_SIGN_IN_PER_MINUTE: '100000', OPENAI_BASE_URL: `http://127.0.0.1:${provider.port}/v1` })
})
afterAll(async () => {
  await provider.stop(true)
  await app.close()
})

test('KEY-04, defect 45: no secret of a run is in the log at its most talkative, in any table or in Redis', async () => {
  const { call, clientId, token, email } = app.ada
  const secrets = {
    password: PASSWORD,
    'wrong password': 'wrong-horse-57c1',
    'new password': 'battery-horse-9d2e staple',
    token,
    'provider key of a known shape': 'sk-proj-4f6Hk2Lm8Np0Qr3St5Uv7Wx9',
    'provider key of no shape': 'Vq7mT2xR9kL4wB8n',
    'header of a tool': 'Basic dXNlcjpzM2NyM3Q',
    'value for a tool': 'env-value-3e8a71',
    message: 'the patient’s name is canary-message',
    'file name': 'canary-file.bin',
  }
  const remembered: Record<string, string> = { ...secrets }
  const post = (path: string, body?: unknown, headers?: Record<string, string>) => call('POST', path, body, headers)

  await app.stranger('POST', '/api/v1/auth/login', { email, password: secrets['wrong password'] })
  await app.stranger('POST', '/api/v1/auth/register', { email: 'new@example.com', password: secrets['new password'], name: 'New Ltd' })
  const {
    database,
    linkKeys: [linkKey],
  } = app.services.stores
  const [link] = await database.db.execute<{ id: string }>(sql`select id from one_time_tokens limit 1`)
  const code = deriveToken(linkKey, link?.id ?? '')
  remembered['link of a mail'] = code
  expect((await app.stranger('GET', `/api/v1/auth/verify-email/${code}`)).status).toBe(200)
  expect((await app.stranger('GET', `/api/v1/auth/verify-email/${code}?token=${code}`)).status).toBeGreaterThanOrEqual(200)
  await app.stranger('POST', '/api/v1/auth/verify-email', { token: code })
  await app.stranger('POST', '/api/v1/auth/reset-password', { token: code, new_password: secrets['new password'] })
  const keys = await Promise.all(
    [secrets['provider key of a known shape'], secrets['provider key of no shape']].map((key_value) =>
      post('/api/v1/agents/apikeys/', { client_id: clientId, name: 'k', provider: 'openai', key_value }),
    ),
  )
  const tool = { name: 'look', method: 'GET', endpoint: 'http://127.0.0.1:1/x', headers: { authorization: secrets['header of a tool'] } }
  await post(AGENTS, {
    client_id: clientId,
    name: 'tooled',
    type: 'llm',
    model: 'demo/echo',
    config: { custom_tools: { http_tools: [tool] } },
  })
  await post(AGENTS, {
    client_id: clientId,
    name: 'odd',
    type: 'llm',
    model: 'demo/echo',
    config: { tools: [{ envs: { A: secrets['value for a tool'] } }] },
  })
  for (const { body: key } of keys) {
    const agent = await post(AGENTS, { client_id: clientId, name: 'asks', type: 'llm', model: 'openai/gpt-4o', api_key_id: key.id })
    remembered[`agent key ${key.id}`] = agent.body.config.api_key
    const chat = `/api/v1/chat/${agent.body.id}/somebody`
    const said = { message: secrets.message, files: [{ filename: secrets['file name'], content_type: 'text/plain', data: 'aGVsbG8=' }] }
    const refused = await app.stranger('POST', chat, said, { 'x-api-key': agent.body.config.api_key })
    expect(refused.status).toBe(502)
    expect(JSON.stringify(refused.body)).not.toMatch(/sk-proj|Vq7mT2xR9kL4wB8n/)
    await app.stranger('POST', `${chat}?stream=true`, said, { 'x-api-key': agent.body.config.api_key })
    await app.stranger('POST', chat, said, { 'x-api-key': `${agent.body.config.api_key}x` })
    for (const first of [{ token }, { api_key: agent.body.config.api_key }, { api_key: `${agent.body.config.api_key}x` }]) {
      const socket = await openChat(`${app.url}/api/v1/chat/ws/${agent.body.id}/somebody`, { type: 'authorization', ...first })
      socket.send(said)
      await Promise.race([socket.closed, socket.until(isTurnComplete)])
      socket.socket.close()
    }
  }
  await post('/api/v1/auth/change-password', { current_password: PASSWORD, new_password: secrets['new password'] })
  await app.stranger('POST', `/api/v1/auth/me?access_token=${token}`, undefined, { cookie: `access_token=${token}` })
  await app.stranger('GET', `/nowhere/${token}`)
  await app.stranger('GET', `/nowhere?password=${secrets['wrong password']}`, undefined, { referer: `http://x/?token=${code}` })

  const log = app.logged()
  expect(log.length).toBeGreaterThan(2000)
  expect(Object.entries(remembered).filter(([, secret]) => log.includes(secret) || log.includes(encodeURIComponent(secret)))).toEqual([])
  for (const secret of [app.config.access.jwtSecret, app.config.access.encryptionKeys, 'only-for-tests'])
    expect(log).not.toContain(secret ?? '')

  // What was said and sent along is kept; what signs in, or opens anything, stands nowhere in clear.
  const { message, 'file name': _, ...credentials } = remembered
  const places = await placesIn(app, [message ?? '', ...Object.values(credentials)])
  expect(places.length).toBeGreaterThan(0)
  expect(places.filter((place) => !place.endsWith(`: ${message}`))).toEqual([])
})

test('every request but a preflight leaves one line, with the status that was sent and without the query', async () => {
  const { call, clientId } = app.bob
  const body = { client_id: clientId, name: 'logged', type: 'llm', model: 'demo/echo' }
  const agent = await call('POST', AGENTS, body)
  const path = AGENTS + agent.body.id
  const requests: [string, string, unknown?][] = [
    ['GET', path],
    ['HEAD', path],
    ['GET', `${path}?x=1&token=2`],
    ['GET', `${path}/`],
    ['PUT', path, { is_admin: true }],
    ['PATCH', path],
    ['DELETE', path],
    ['DELETE', path],
    ['GET', '/api/v1/nowhere'],
    ['GET', '/livez?a=1&a=1'],
    ['GET', '/%zz'],
    ['GET', '/problems/internal'],
    ['POST', `/api/v1/chat/${agent.body.id}/x?stream=true`, { message: '' }],
  ]
  for (const [method, target, sent] of requests) {
    const reply = await call(method, target, sent)
    // The line is written after the answer.
    await Bun.sleep(10)
    const lines = app
      .logged()
      .split('\n')
      .filter((line) => line.includes(`"trace_id":"${reply.headers.get('x-request-id')}"`))
    const requestLines = lines.map((line) => JSON.parse(line)).filter(({ message }) => message === 'request')
    const found = requestLines.map((line) => `${line.method} ${line.path} ${line.status}`)
    expect(found).toEqual([`${method} ${target.split('?')[0]} ${reply.status}`])
    expect(requestLines[0]).toMatchObject({ address: '127.0.0.1', ms: expect.any(Number) })
  }
})

test('a WebSocket is logged as what it was answered: the upgrade, or the refusal', async () => {
  const path = `/api/v1/chat/ws/${crypto.randomUUID()}/logged`
  expect((await app.stranger('GET', path)).status).toBe(400)
  const { socket, closed } = await openChat(`${app.url}${path}`)
  socket.close()
  await closed
  const statuses = app
    .logged()
    .split('\n')
    .filter((line) => line.includes(`"path":"${path}"`))
    .map((line) => JSON.parse(line).status)
  expect(statuses).toEqual([400, 101])
})
