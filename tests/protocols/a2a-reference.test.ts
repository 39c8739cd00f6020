import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startApp, type TestApp } from '../support/start-app'

/** The dialect of Evo AI 0.1.0, as its A2A lab speaks it. */
let app: TestApp
let agent: { id: string; config: { api_key: string } }
beforeAll(async () => {
  app = await startApp()
  agent = await newAgent()
})
afterAll(() => app.close())

const newAgent = async ({ call, clientId } = app.ada) =>
  (
    await call('POST', '/api/v1/agents/', {
      client_id: clientId,
      name: 'echo',
      type: 'llm',
      model: 'demo/echo',
      description: 'Repeats',
      config: {},
    })
  ).body as typeof agent
const rpc = (
  method: string,
  params: object = {},
  { to = agent, headers = { 'x-api-key': to.config.api_key } as Record<string, string> } = {},
) => app.stranger('POST', `/api/v1/a2a/${to.id}`, { jsonrpc: '2.0', id: 'call', method, params }, headers)
const message = (text: string, more: object = {}) => ({
  role: 'user',
  messageId: crypto.randomUUID(),
  parts: [{ type: 'text', text }],
  ...more,
})
const fileOf = (bytes: string, name = 'a.txt') => ({
  ...message(''),
  parts: [{ type: 'file', file: { name, mimeType: 'text/plain', bytes } }],
})
/** Reads a stream as the lab does: one `data:` line of JSON for each event. */
const streamed = async (method: string, params: object) => {
  const response = await fetch(`${app.url}/api/v1/a2a/${agent.id}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': agent.config.api_key },
    body: JSON.stringify({ jsonrpc: '2.0', id: 'call', method, params }),
  })
  expect(response.headers.get('content-type')).toStartWith('text/event-stream')
  return eventsOf(await response.text())
}
const eventsOf = (text: string) =>
  text
    .split('\n\n')
    .filter((block) => block !== '' && !block.startsWith(':'))
    .map((block) => {
      expect(block).toMatch(/^data: [^\n]+$/)
      return JSON.parse(block.slice(6))
    })

test('a message is answered with its task', async () => {
  const { status, body } = await rpc('message/send', { message: message('hello') })
  expect(status).toBe(200)
  expect(Math.abs(Date.parse(body.result.status.timestamp) - Date.now())).toBeLessThan(60_000)
  expect(body).toMatchObject({
    jsonrpc: '2.0',
    id: 'call',
    result: {
      kind: 'task',
      status: { state: 'completed', timestamp: expect.stringMatching(/Z$/) },
      artifacts: [{ parts: [{ type: 'text', kind: 'text', text: 'Echo: hello' }] }],
      history: [
        { role: 'user', kind: 'message', parts: [{ text: 'hello' }] },
        { role: 'agent', parts: [{ text: 'Echo: hello' }] },
      ],
    },
  })
})

test('defect 21: a context goes on, whether it stands in the message or beside it, and whatever it is called', async () => {
  for (const contextId of [crypto.randomUUID(), 'a context/with_signs']) {
    await rpc('message/send', { message: message('one'), contextId })
    const { body } = await rpc('message/send', { message: message('two', { contextId }) })
    expect(body.result.contextId).toBe(contextId)
    const sessions = await app.stranger('GET', `/api/v1/a2a/${agent.id}/sessions?external_id=${encodeURIComponent(contextId)}`, undefined, {
      'x-api-key': agent.config.api_key,
    })
    expect(sessions.body).toMatchObject({ total: 1, sessions: [{ contextId, messageCount: 4, status: 'active' }] })
    const { sessionId } = sessions.body.sessions[0]
    const history = await app.stranger('GET', `/api/v1/a2a/${agent.id}/sessions/${sessionId}/history?limit=3`, undefined, {
      'x-api-key': agent.config.api_key,
    })
    expect(history.body.history.map(({ role }: { role: string }) => role)).toEqual(['agent', 'user', 'agent'])
    const told = await app.stranger(
      'POST',
      `/api/v1/a2a/${agent.id}/conversation/history`,
      { jsonrpc: '2.0', id: 7, params: { contextId } },
      { 'x-api-key': agent.config.api_key },
    )
    expect(told.body).toMatchObject({
      id: 7,
      result: {
        metadata: { total_messages: 4, operation: 'conversation_history_retrieval' },
        artifacts: [{ artifactId: 'message_1' }, {}, {}, {}, {}],
      },
    })
  }
  const [first, second] = await Promise.all([1, 2].map(() => rpc('message/send', { message: message('alone') })))
  expect(first?.body.result.contextId).not.toBe(second?.body.result.contextId)
})

test('a conversation that another agent of the client has in a context of the same name is not told', async () => {
  const other = await newAgent()
  const contextId = crypto.randomUUID()
  await rpc('message/send', { message: message('to the other', { contextId }) }, { to: other })
  const key = { 'x-api-key': agent.config.api_key }
  const base = `/api/v1/a2a/${agent.id}`
  expect((await app.stranger('GET', `${base}/sessions?external_id=${contextId}`, undefined, key)).body).toEqual({ sessions: [], total: 0 })
  expect((await app.stranger('GET', `${base}/sessions/${contextId}_${other.id}/history`, undefined, key)).status).toBe(404)
  const asked = { jsonrpc: '2.0', id: 7, params: { contextId } }
  expect(JSON.stringify((await app.stranger('POST', `${base}/conversation/history`, asked, key)).body)).not.toContain('to the other')
  await rpc('message/send', { message: message('to mine', { contextId }) })
  const [session, ...more] = (await app.stranger('GET', `${base}/sessions?external_id=${contextId}`, undefined, key)).body.sessions
  expect([session.sessionId, session.messageCount, more]).toEqual([`${contextId}_${agent.id}`, 2, []])
})

test('the same message, sent again, is the same task', async () => {
  const params = { message: message('once') }
  const [first, second] = await Promise.all([rpc('message/send', params), rpc('message/send', params)])
  expect(second.body.result.id).toBe(first.body.result.id)
  expect(second.body.result.contextId).toBe(first.body.result.contextId)
  expect(
    (await rpc('message/send', { message: { ...params.message, parts: [{ type: 'text', text: 'another' }] } })).body.result.id,
  ).not.toBe(first.body.result.id)
})

test('defect 22: a stream has one id, text that replaces what was shown, and an end', async () => {
  const events = await streamed('message/stream', { message: message('/slow 120\none two three') })
  expect(new Set(events.map(({ result }) => result.id)).size).toBe(1)
  const texts = events.flatMap(({ result }) => result.status.message?.parts[0].text ?? [])
  for (const [index, text] of texts.entries()) expect(text).toStartWith(texts[index - 1] ?? 'Echo:')
  expect(texts.at(-1)).toBe('Echo: one two three')
  expect(events[0].result.status.state).toBe('submitted')
  expect(events.at(-1).result).toMatchObject({ status: { state: 'completed' }, final: true })
  expect(events.filter(({ result }) => result.final)).toHaveLength(1)
})

test('defect 22: tasks are real: read, followed, canceled; one that nobody made is not found', async () => {
  const running = streamed('message/stream', { message: message(`/slow 100\n${'word '.repeat(60)}`, { contextId: 'to-cancel' }) })
  let taskId: string | undefined
  while (taskId === undefined) {
    const rows = await app.services.db.execute<{ run_id: string }>("select run_id from a2a_tasks where context_id = 'to-cancel'")
    taskId = rows[0]?.run_id
    await Bun.sleep(50)
  }
  expect((await rpc('tasks/get', { taskId })).body.result.status.state).toBe('working')
  const followed = streamed('tasks/resubscribe', { taskId, pushNotificationConfig: null })
  const watched = fetch(`${app.url}/api/v1/a2a/${agent.id}?taskId=${taskId}`, { headers: { 'x-api-key': agent.config.api_key } })
  await Bun.sleep(300)
  expect((await rpc('tasks/cancel', { taskId })).body.result).toMatchObject({ id: taskId, success: true, status: { state: 'canceled' } })
  for (const events of [await running, await followed, eventsOf(await (await watched).text()).map((result) => ({ result }))])
    expect(events.at(-1)).toMatchObject({ result: { id: taskId, status: { state: 'canceled' }, final: true } })
  expect((await rpc('tasks/get', { taskId })).body.result.status.state).toBe('canceled')
  expect((await rpc('tasks/cancel', { taskId })).body.error.code).toBe(-32002)
  expect((await rpc('tasks/get', { taskId: crypto.randomUUID() })).body.error.code).toBe(-32001)
  expect((await rpc('tasks/cancel', { taskId: 'invented' })).body.error.code).toBe(-32001)
})

test('SSRF-10, defect 31: tasks and push configs of another agent are not found, of whatever client', async () => {
  const { body } = await rpc('message/send', { message: message('mine') })
  const taskId = body.result.id
  for (const to of [await newAgent(), await newAgent(app.bob)])
    for (const [method, params] of [
      ['tasks/get', { taskId }],
      ['tasks/cancel', { taskId }],
      ['tasks/resubscribe', { taskId }],
      ['tasks/pushNotificationConfig/get', { taskId }],
      ['tasks/pushNotificationConfig/set', { taskId, pushNotificationConfig: { url: 'https://93.184.216.34/hook' } }],
      ['message/send', { message: message('go on', { taskId }) }],
    ] as const)
      expect(`${method} ${(await rpc(method, params, { to })).body.error?.code}`).toBe(`${method} -32001`)
})

test('ACL-06, defect 24: the key of this agent alone opens it, in x-api-key or as a bearer token', async () => {
  const params = { message: message('hi') }
  const others = [await newAgent(), await newAgent(app.bob)]
  for (const key of [...others.map(({ config }) => config.api_key), 'wrong'])
    for (const headers of [{ 'x-api-key': key }, { authorization: `Bearer ${key}` }] as Record<string, string>[])
      expect((await rpc('message/send', params, { headers })).status).toBe(401)
  expect((await rpc('message/send', params, { headers: {} })).status).toBe(401)
  expect(
    (await rpc('message/send', params, { headers: { authorization: `Bearer ${agent.config.api_key}` } })).body.result.status.state,
  ).toBe('completed')
  expect((await rpc('message/send', params, { headers: { authorization: `Bearer ${app.bob.token}` } })).status).toBe(404)
})

test('defect 70: what is wrong with a request is told with the code of the protocol', async () => {
  const raw = (body: object) => app.stranger('POST', `/api/v1/a2a/${agent.id}`, body, { 'x-api-key': agent.config.api_key })
  expect(await raw({ jsonrpc: '1.0', id: 1, method: 'message/send' })).toMatchObject({
    status: 400,
    body: { id: 1, error: { code: -32600 } },
  })
  for (const no of [{ method: 5 }, { method: null }, { id: {} }, { id: true }])
    for (const headers of [{}, { 'a2a-version': '0.3' }, { 'a2a-version': '1.0' }])
      expect(
        await app.stranger(
          'POST',
          `/api/v1/a2a/${agent.id}`,
          { jsonrpc: '2.0', id: 1, method: 'tasks/get', params: { taskId: 'x' }, ...no },
          { 'x-api-key': agent.config.api_key, ...headers },
        ),
      ).toMatchObject({ status: 400, body: { id: 'id' in no ? null : 1, error: { code: -32600 } } })
  const unknown = await rpc('message/shout')
  expect(unknown).toMatchObject({ status: 400, body: { error: { code: -32601 } } })
  expect(unknown.body.error.data.supported_methods).toContain('message/send')
  for (const params of [
    {},
    { message: { role: 'user', parts: [] } },
    { message: { parts: 'sEcret' } },
    { message: message('x'), contextId: 'x'.repeat(600) },
    { message: message('x'.repeat(200_001)) },
    { message: fileOf('*sEcret*') },
    { message: fileOf('aGk=', 'sEcret/name') },
    { message: { ...message(''), parts: Array.from({ length: 11 }, () => fileOf('aGk=').parts[0]) } },
  ]) {
    const { status, body } = await rpc('message/send', params)
    expect({ status, code: body.error.code }).toEqual({ status: 200, code: -32602 })
    expect(JSON.stringify(body)).not.toContain('sEcret')
  }
  expect((await rpc('tasks/get', {})).body.error.code).toBe(-32602)
})

test('a body that cannot be read is a problem and an error of JSON-RPC in one; who may not call meets a problem alone', async () => {
  const key: Record<string, string> = { 'x-api-key': agent.config.api_key }
  const post = async (body: string, headers = key, type = 'application/json') => {
    const reply = await fetch(`${app.url}/api/v1/a2a/${agent.id}`, { method: 'POST', body, headers: { ...headers, 'content-type': type } })
    return { status: reply.status, type: reply.headers.get('content-type'), body: (await reply.json()) as Record<string, unknown> }
  }
  const deep = `${'['.repeat(40)}${']'.repeat(40)}`
  for (const version of [undefined, '0.3', '1.0'])
    for (const [sent, status, code] of [
      ['{"jsonrpc": "2.0", "method": "message/send", "params": {"a": "b"', 400, -32700],
      ['[]', 422, -32600],
      ['[{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{}}]', 422, -32600],
      ['', 422, -32600],
      ['7', 422, -32600],
      [deep, 422, -32600],
      ['{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"a":"\\u0000"}}', 422, -32600],
    ] as const) {
      const { type, ...reply } = await post(sent, version === undefined ? key : { ...key, 'a2a-version': version })
      expect({ sent, ...reply }).toMatchObject({
        sent,
        status,
        body: {
          jsonrpc: '2.0',
          id: null,
          error: { code, message: reply.body.detail },
          status,
          type: expect.stringContaining('/problems/'),
        },
      })
      expect(type).toBe('application/problem+json')
    }
  expect(await post('{}', key, 'text/plain')).toMatchObject({ status: 415, body: { jsonrpc: '2.0', id: null, error: { code: -32005 } } })
  const stranger = await post('{}', { 'x-api-key': 'nobody' })
  expect(stranger.body).not.toHaveProperty('jsonrpc')
  expect((await app.stranger('POST', '/api/v1/auth/login', 'x')).body).not.toHaveProperty('jsonrpc')
})

test('a failed run is a failed task, with the reason', async () => {
  const { body } = await rpc('message/send', { message: message('/fail') })
  expect(body.result).toMatchObject({
    status: { state: 'failed', message: { parts: [{ text: 'The demo model was told to fail.' }] } },
    artifacts: [],
  })
  const events = await streamed('message/stream', { message: message('/fail') })
  expect(events.at(-1).result).toMatchObject({ status: { state: 'failed' }, final: true })
})

test('files go in, alone too', async () => {
  const file = { type: 'file', file: { name: 'a.txt', mimeType: 'text/plain', bytes: btoa('text') } }
  const { body } = await rpc('message/send', { message: { ...message(''), parts: [file] } })
  expect(body.result.artifacts[0].parts[0].text).toContain('Analyze the provided files')
  expect(body.result.history[0].parts[1]).toMatchObject({ kind: 'file', file: { name: 'a.txt', bytes: btoa('text') } })
})

test('the card tells who the agent is and how to speak to it, to everybody; defect 7: the extended one to callers', async () => {
  for (const path of ['agent.json', 'agent-card.json']) {
    const { status, body } = await app.stranger('GET', `/api/v1/a2a/${agent.id}/.well-known/${path}`)
    expect(status).toBe(200)
    expect(body).toMatchObject({
      name: 'echo',
      description: 'Repeats',
      url: `http://localhost:8000/api/v1/a2a/${agent.id}`,
      capabilities: { streaming: true, pushNotifications: true },
      security: [{ apiKey: [] }, { bearer: [] }],
    })
    expect(JSON.stringify(body)).not.toContain(agent.config.api_key)
  }
  expect((await app.stranger('GET', `/api/v1/a2a/${crypto.randomUUID()}/.well-known/agent.json`)).status).toBe(404)
  expect((await rpc('agent/authenticatedExtendedCard')).body.result).toMatchObject({ name: 'echo', extended: { agent_id: agent.id } })
  const health = await app.stranger('GET', '/api/v1/a2a/health')
  expect(health.body.status).toBe('healthy')
  for (const method of Object.values<string[]>(health.body.rpc_methods).flat())
    if (!/^[A-Z]/.test(method)) expect(`${method} ${(await rpc(method)).body.error?.code}`).not.toBe(`${method} -32601`)
})

test('SSRF-09, defect 53: a webhook on a private address, without TLS, or one that leads nowhere is refused, and the message with it', async () => {
  const { body } = await rpc('message/send', { message: message('mine') })
  for (const url of [
    'http://example.com/hook',
    'https://127.0.0.1/hook',
    'https://169.254.169.254/',
    'https://localhost/',
    'file:///etc/passwd',
    'https://nowhere.invalid/',
  ])
    for (const [method, params] of [
      ['tasks/pushNotificationConfig/set', { taskId: body.result.id, pushNotificationConfig: { url } }],
      ['tasks/resubscribe', { taskId: body.result.id, pushNotificationConfig: { url } }],
      ['message/send', { message: message('x'), pushNotificationConfig: { webhookUrl: url, webhookAuthenticationInfo: { type: 'none' } } }],
      ['message/send', { message: message('x'), configuration: { pushNotificationConfig: { url } } }],
    ] as const)
      expect(`${method} ${url} ${(await rpc(method, params)).body.error?.code}`).toBe(`${method} ${url} -32602`)
})

test('SSRF-07: a header that is ours to set, or holds a line break, is refused for a webhook too', async () => {
  const { body } = await rpc('message/send', { message: message('mine') })
  for (const [headerName, apiKey] of [
    ['Host', 'k'],
    ['Transfer-Encoding', 'chunked'],
    ['x-key', 'a\r\nx-other: b'],
  ]) {
    const pushNotificationConfig = { url: 'https://93.184.216.34/hook', authentication: { type: 'apikey', apiKey, headerName } }
    const reply = await rpc('tasks/pushNotificationConfig/set', { taskId: body.result.id, pushNotificationConfig })
    expect([headerName, reply.body.error?.code]).toEqual([headerName, -32602])
  }
})
