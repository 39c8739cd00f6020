import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type AgentCard, Role, type StreamResponse, type Task, TaskState } from '@a2a-js/sdk'
import { type Client, ClientFactory, DefaultAgentCardResolver, JsonRpcTransportFactory } from '@a2a-js/sdk/client'
import { startApp, type TestApp } from '../support/start-app'

/** Our server under the official SDK's own client, in both versions of the protocol. */
let app: TestApp
let agent: { id: string; config: { api_key: string } }
const sent: { version: string | null; method: string }[] = []

beforeAll(async () => {
  app = await startApp()
  const { call, clientId } = app.ada
  agent = (await call('POST', '/api/v1/agents/', { client_id: clientId, name: 'echo', type: 'llm', model: 'demo/echo', config: {} })).body
})
afterAll(() => app.close())

/** With the agent's key, and to our port instead of the public one that the card names. */
const fetchImpl = (async (input: string | URL | Request, init?: RequestInit) => {
  const request = new Request(String(input instanceof Request ? input.url : input).replace('http://localhost:8000', app.url), init)
  request.headers.set('x-api-key', agent.config.api_key)
  if (request.method === 'POST') {
    const { method } = (await request.clone().json()) as { method: string }
    sent.push({ version: request.headers.get('a2a-version'), method })
  }
  return fetch(request)
}) as typeof fetch

async function connect(version: '1.0' | '0.3'): Promise<Client> {
  const resolver = new DefaultAgentCardResolver({ fetchImpl })
  const card: AgentCard = await resolver.resolve(`${app.url}/api/v1/a2a/${agent.id}/`)
  expect(card.supportedInterfaces.map(({ protocolVersion }) => protocolVersion)).toEqual(['1.0', '0.3'])
  const factory = new ClientFactory({ transports: [new JsonRpcTransportFactory({ fetchImpl, legacyCompat: { enabled: true } })] })
  return factory.createFromAgentCard({
    ...card,
    supportedInterfaces: card.supportedInterfaces.filter(({ protocolVersion }) => protocolVersion === version),
  })
}

const request = (text: string, { contextId = '', taskId = '', returnImmediately = false } = {}) => ({
  tenant: '',
  metadata: undefined,
  configuration: { acceptedOutputModes: [], taskPushNotificationConfig: undefined, returnImmediately },
  message: {
    messageId: crypto.randomUUID(),
    contextId,
    taskId,
    role: Role.ROLE_USER,
    parts: [{ content: { $case: 'text' as const, value: text }, metadata: undefined, filename: '', mediaType: 'text/plain' }],
    metadata: undefined,
    extensions: [],
    referenceTaskIds: [],
  },
})
const textOf = (parts: { content?: { $case: string; value: unknown } | undefined }[] = []) =>
  parts.map(({ content }) => content?.value).join('')

/** What a client that follows the protocol shows: chunks appended, or in place of what was there. */
function shownBy(events: StreamResponse[]) {
  let text = ''
  for (const { payload } of events)
    if (payload?.$case === 'artifactUpdate') text = (payload.value.append ? text : '') + textOf(payload.value.artifact?.parts)
  return text
}

describe.each(['1.0', '0.3'] as const)('version %s', (version) => {
  let client: Client
  beforeAll(async () => {
    client = await connect(version)
  })

  test('a message is answered with its task, in its context', async () => {
    const asked = request('hello')
    const first = (await client.sendMessage(asked)) as Task
    expect(first.history[0]?.messageId).toBe(asked.message.messageId)
    expect(first.status?.state).toBe(TaskState.TASK_STATE_COMPLETED)
    expect(textOf(first.artifacts[0]?.parts)).toBe('Echo: hello')
    const second = (await client.sendMessage(request('again', { contextId: first.contextId }))) as Task
    expect(second.contextId).toBe(first.contextId)
    expect(second.id).not.toBe(first.id)
    expect(await client.getTask({ tenant: '', id: first.id, historyLength: 10 })).toMatchObject({ id: first.id, history: [{}, {}] })
    expect(sent.at(-1)?.version).toBe(version)
  })

  test('a stream begins with the task, appends its answer, and ends', async () => {
    const events = await Array.fromAsync(client.sendMessageStream(request('/slow 40\none two three')))
    expect(events[0]?.payload?.$case).toBe('task')
    expect(shownBy(events)).toBe('Echo: one two three')
    const last = events.at(-1)?.payload
    expect(last?.$case === 'statusUpdate' && last.value.status?.state).toBe(TaskState.TASK_STATE_COMPLETED)
    expect(events.filter(({ payload }) => payload?.$case === 'artifactUpdate').length).toBeGreaterThan(2)
  })

  test('a task is accepted at once, followed from its beginning, and canceled', async () => {
    const task = (await client.sendMessage(request(`/slow 100\n${'word '.repeat(60)}`, { returnImmediately: true }))) as Task
    expect([TaskState.TASK_STATE_WORKING, TaskState.TASK_STATE_SUBMITTED]).toContain(task.status?.state as TaskState)
    const followed = Array.fromAsync(client.resubscribeTask({ tenant: '', id: task.id }))
    await Bun.sleep(300)
    const canceled = await client.cancelTask({ tenant: '', id: task.id, metadata: undefined })
    expect(canceled.status?.state).toBe(TaskState.TASK_STATE_CANCELED)
    const events = await followed
    expect(shownBy(events)).toStartWith('Echo: word')
    const last = events.at(-1)?.payload
    expect(last?.$case === 'statusUpdate' && last.value.status?.state).toBe(TaskState.TASK_STATE_CANCELED)
    await expect(client.cancelTask({ tenant: '', id: task.id, metadata: undefined })).rejects.toThrow(/over/i)
  })

  test('a failed run is a failed task; a task that nobody made is not found; an empty message is refused', async () => {
    const failed = (await client.sendMessage(request('/fail'))) as Task
    expect(failed.status?.state).toBe(TaskState.TASK_STATE_FAILED)
    expect(textOf(failed.status?.message?.parts)).toBe('The demo model was told to fail.')
    await expect(client.getTask({ tenant: '', id: crypto.randomUUID() })).rejects.toThrow(/not found/i)
    await expect(client.sendMessage(request(''))).rejects.toThrow()
  })

  test('push notification configs are kept, shown without their secrets, and taken away; SSRF-09 holds', async () => {
    const { id: taskId } = (await client.sendMessage(request('push'))) as Task
    const authentication = { scheme: 'Bearer', credentials: 'sEcret' }
    const config = { tenant: '', taskId, id: 'mine', url: 'https://93.184.216.34/hook', token: 'tok', authentication }
    await client.createTaskPushNotificationConfig(config)
    const { configs } = await client.listTaskPushNotificationConfig({ tenant: '', taskId, pageSize: 10, pageToken: '' })
    expect(configs).toMatchObject([{ id: 'mine', url: config.url }])
    expect(JSON.stringify(configs)).not.toContain('sEcret')
    expect(JSON.stringify(await app.services.db.execute('select * from a2a_push_configs'))).not.toContain('sEcret')
    await client.deleteTaskPushNotificationConfig({ tenant: '', taskId, id: 'mine' })
    expect((await client.listTaskPushNotificationConfig({ tenant: '', taskId, pageSize: 10, pageToken: '' })).configs).toEqual([])
    for (const url of ['https://10.0.0.1/hook', 'http://example.com/'])
      await expect(client.createTaskPushNotificationConfig({ ...config, url })).rejects.toThrow(/allowed|https/)
  })
})

const everything = {
  tenant: '',
  contextId: '',
  status: TaskState.TASK_STATE_UNSPECIFIED,
  pageSize: 50,
  pageToken: '',
  statusTimestampAfter: undefined,
}

test('1.0: tasks are listed by context and state, page by page', async () => {
  const client = await connect('1.0')
  const { contextId } = (await client.sendMessage(request('one'))) as Task
  for (const text of ['two', '/fail']) await client.sendMessage(request(text, { contextId }))
  const page = { ...everything, contextId, pageSize: 2 }
  const first = await client.listTasks({ ...page, includeArtifacts: true })
  expect(first).toMatchObject({ totalSize: 3, pageSize: 2, tasks: [{ artifacts: [] }, {}] })
  expect(textOf(first.tasks[1]?.artifacts[0]?.parts)).toBe('Echo: two')
  const second = await client.listTasks({ ...page, pageToken: first.nextPageToken })
  expect(second).toMatchObject({ nextPageToken: '', tasks: [{ contextId }] })
  const failed = await client.listTasks({ ...page, status: TaskState.TASK_STATE_FAILED })
  expect(failed.totalSize).toBe(1)
})

test('1.0: the task that changed last comes first, on the next page too, and a time leaves out what was over before', async () => {
  const client = await connect('1.0')
  const contextId = crypto.randomUUID()
  const slow = (await client.sendMessage(request(`/slow 100\n${'word '.repeat(60)}`, { contextId, returnImmediately: true }))) as Task
  const quick = (await client.sendMessage(request('quick', { contextId: 'elsewhere' }))) as Task
  const list = (more: object = {}) => client.listTasks({ ...everything, pageSize: 1, ...more })
  const idsOf = ({ tasks }: { tasks: Task[] }) => tasks.map(({ id }) => id)
  expect(idsOf(await list())).toEqual([quick.id])
  const canceled = await client.cancelTask({ tenant: '', id: slow.id, metadata: undefined })
  const first = await list()
  expect(idsOf(first)).toEqual([slow.id])
  expect(idsOf(await list({ pageToken: first.nextPageToken }))).toEqual([quick.id])
  const since = await list({ pageSize: 100, statusTimestampAfter: canceled.status?.timestamp })
  expect({ ids: idsOf(since), total: since.totalSize }).toEqual({ ids: [slow.id], total: 1 })
})

test('1.0: what a list is asked for is checked, and not bent to what there is', async () => {
  const rpc = (method: string, params: object) =>
    app.stranger(
      'POST',
      `/api/v1/a2a/${agent.id}`,
      { jsonrpc: '2.0', id: 1, method, params },
      { 'x-api-key': agent.config.api_key, 'a2a-version': '1.0' },
    )
  for (const params of [
    { pageSize: 0 },
    { pageSize: -1 },
    { pageSize: 101 },
    { pageToken: 'junk' },
    { pageToken: `2026-02-30T00:00:00.000000Z_${crypto.randomUUID()}` },
    { status: 'TASK_STATE_DREAMING' },
    { historyLength: -1 },
    { statusTimestampAfter: 'yesterday' },
  ])
    expect({ params, code: (await rpc('ListTasks', params)).body.error?.code }).toEqual({ params, code: -32602 })
  expect((await rpc('GetTask', { id: 'any', historyLength: -1 })).body.error.code).toBe(-32602)
  expect((await rpc('ListTasks', { status: 'TASK_STATE_REJECTED' })).body.result).toMatchObject({ totalSize: 0 })
})

test('a message is taken with its task or not at all: one whose task cannot be written down begins no run', async () => {
  const client = await connect('1.0')
  const { db } = app.services
  const runs = async () => (await app.ada.call('GET', `/api/v1/runs/?agent_id=${agent.id}&limit=1`)).headers.get('x-total-count')
  const before = await runs()
  await db.execute('alter table a2a_tasks add constraint nothing_more check (false) not valid')
  await expect(client.sendMessage(request('lost'))).rejects.toThrow()
  await db.execute('alter table a2a_tasks drop constraint nothing_more')
  expect(await runs()).toBe(before)
})

test('1.0: a task that is over takes no further message and is not watched; the refusal is a response of its own, no stream', async () => {
  const client = await connect('1.0')
  const { id: taskId } = (await client.sendMessage(request('done'))) as Task
  await expect(client.sendMessage(request('more', { taskId }))).rejects.toThrow('The task is over.')
  for (const [method, params] of [
    ['SubscribeToTask', { id: taskId }],
    ['SendStreamingMessage', { message: { messageId: 'm', role: 'ROLE_USER', taskId, parts: [{ text: 'more' }] } }],
  ] as const) {
    const { headers, body } = await app.stranger(
      'POST',
      `/api/v1/a2a/${agent.id}`,
      { jsonrpc: '2.0', id: 1, method, params },
      { 'x-api-key': agent.config.api_key, 'a2a-version': '1.0' },
    )
    expect(headers.get('content-type')).toStartWith('application/json')
    expect({ method, code: body.error.code }).toEqual({ method, code: -32004 })
  }
})

test('0.3: what its clients take for a stream is one, also when it only says no; one that names no version is told its push config', async () => {
  const post = (method: string, params: object, headers: Record<string, string> = { 'a2a-version': '0.3' }) =>
    fetch(`${app.url}/api/v1/a2a/${agent.id}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': agent.config.api_key, ...headers },
      body: JSON.stringify({ jsonrpc: '2.0', id: 'a', method, params }),
    })
  for (const [method, params, code] of [
    ['tasks/resubscribe', { id: crypto.randomUUID() }, -32001],
    ['message/stream', {}, -32602],
    ['message/stream', { message: { kind: 'message', role: 'user', messageId: 'm', parts: [] } }, -32602],
  ] as const) {
    const reply = await post(method, params)
    expect(reply.headers.get('content-type')).toStartWith('text/event-stream')
    const events = (await reply.text()).split('\n\n').filter(Boolean)
    expect(events.map((event) => JSON.parse(event.replace('data: ', '')))).toEqual([
      { jsonrpc: '2.0', id: 'a', error: expect.objectContaining({ code }) },
    ])
  }
  const { id: taskId } = (await (await connect('0.3')).sendMessage(request('done'))) as Task
  const authentication = { schemes: ['Bearer'], credentials: 'sEcret' }
  const pushNotificationConfig = { url: 'https://93.184.216.34/hook', authentication }
  for (const [method, params] of [
    ['tasks/pushNotificationConfig/set', { taskId, pushNotificationConfig }],
    ['tasks/pushNotificationConfig/get', { taskId }],
    ['tasks/pushNotificationConfig/get', { id: taskId }],
  ] as const) {
    const answer = await (await post(method, params, {})).text()
    expect(JSON.parse(answer).result).toMatchObject({
      taskId,
      pushNotificationConfig: { id: 'default', url: 'https://93.184.216.34/hook', authentication: { schemes: ['Bearer'] } },
    })
    expect(answer).not.toContain('sEcret')
  }
})

test('0.3: a message is waited for unless its sender says otherwise, whatever else they say', async () => {
  const send = async (configuration: object | undefined, headers: Record<string, string> = { 'a2a-version': '0.3' }) => {
    const message = { kind: 'message', messageId: crypto.randomUUID(), role: 'user', parts: [{ kind: 'text', text: '/slow 100\none two' }] }
    const call = { jsonrpc: '2.0', id: 1, method: 'message/send', params: { message, configuration } }
    const { body } = await app.stranger('POST', `/api/v1/a2a/${agent.id}`, call, { 'x-api-key': agent.config.api_key, ...headers })
    return body.result.status.state
  }
  for (const waits of [undefined, {}, { acceptedOutputModes: ['text/plain'] }, { blocking: true }])
    expect(await send(waits)).toBe('completed')
  expect(await send({ acceptedOutputModes: ['text/plain'] }, {})).toBe('completed')
  expect(await send({ blocking: false })).not.toBe('completed')
})

test('SSRF-10: a task of another agent of the same client is not found, and its push configs are neither told nor taken away', async () => {
  const { call, clientId } = app.ada
  const draft = { client_id: clientId, name: 'neighbour', type: 'llm', model: 'demo/echo', config: {} }
  const neighbour = (await call('POST', '/api/v1/agents/', draft)).body
  const ask = async ({ id, config }: typeof agent, method: string, params: object) => {
    const headers = { 'x-api-key': config.api_key, 'a2a-version': '1.0' }
    return (await app.stranger('POST', `/api/v1/a2a/${id}`, { jsonrpc: '2.0', id: 1, method, params }, headers)).body
  }
  const { id: taskId } = (await (await connect('1.0')).sendMessage(request('mine'))) as Task
  const config = { taskId, id: 'hook', url: 'https://93.184.216.34/hook' }
  expect((await ask(agent, 'CreateTaskPushNotificationConfig', config)).error).toBeUndefined()
  for (const [method, params] of [
    ['GetTask', { id: taskId }],
    ['CancelTask', { id: taskId }],
    ['CreateTaskPushNotificationConfig', config],
    ['GetTaskPushNotificationConfig', { taskId, id: 'hook' }],
    ['ListTaskPushNotificationConfigs', { taskId }],
    ['DeleteTaskPushNotificationConfig', { taskId, id: 'hook' }],
  ] as const)
    expect({ method, code: (await ask(neighbour, method, params)).error?.code }).toEqual({ method, code: -32001 })
  expect((await ask(agent, 'ListTaskPushNotificationConfigs', { taskId })).result.configs).toHaveLength(1)
})

test('a request without params is one with none, and one without an id that it needs has invalid params', async () => {
  const ask = async (version: string, method: string, params?: object) => {
    const headers = { 'x-api-key': agent.config.api_key, 'a2a-version': version }
    const call = { jsonrpc: '2.0', id: 1, method, ...(params && { params }) }
    return (await app.stranger('POST', `/api/v1/a2a/${agent.id}`, call, headers)).body
  }
  expect(await ask('1.0', 'ListTasks')).toMatchObject({ id: 1, result: { pageSize: 50 } })
  expect(await ask('1.0', 'Shout')).toMatchObject({ id: 1, error: { code: -32601 } })
  expect(await ask('0.3', 'tasks/shout')).toMatchObject({ id: 1, error: { code: -32601 } })
  for (const [version, methods] of [
    ['1.0', ['SendMessage', 'SendStreamingMessage', 'GetTask', 'CancelTask', 'SubscribeToTask', 'ListTaskPushNotificationConfigs']],
    ['0.3', ['message/send', 'tasks/get', 'tasks/cancel', 'tasks/pushNotificationConfig/list', 'tasks/pushNotificationConfig/get']],
  ] as const)
    for (const method of methods)
      for (const params of [undefined, {}])
        expect({ method, params, ...(await ask(version, method, params)) }).toMatchObject({ method, id: 1, error: { code: -32602 } })
})

test('the version stands in the header or in the address; one that nobody speaks is refused with its code', async () => {
  const ask = async (version: Record<string, string>, query = '') => {
    const call = { jsonrpc: '2.0', id: 1, method: 'GetTask', params: { id: crypto.randomUUID() } }
    const { body } = await app.stranger('POST', `/api/v1/a2a/${agent.id}${query}`, call, { 'x-api-key': agent.config.api_key, ...version })
    return body
  }
  for (const version of ['7.1', '1.1', '1.00', '0.4', '2'])
    for (const body of [await ask({ 'a2a-version': version }), await ask({}, `?A2A-Version=${version}`)])
      expect({ version, ...body }).toMatchObject({ version, id: 1, error: { code: -32009, data: [{ reason: 'VERSION_NOT_SUPPORTED' }] } })
  for (const version of ['1.0', '1', '1.0.4']) expect((await ask({ 'a2a-version': version })).error.code).toBe(-32001)
  // 0.3 has no such method.
  expect((await ask({}, '?A2A-Version=0.3')).error.code).toBe(-32601)
  expect((await ask({ 'a2a-version': '1.0' }, '?A2A-Version=0.3')).error.code).toBe(-32001)
})

test('what the SDK would bend is refused: bytes that are no base64, and lengths that are no whole numbers', async () => {
  const ask = async (version: string, method: string, params: object) => {
    const headers = { 'x-api-key': agent.config.api_key, 'a2a-version': version }
    return (await app.stranger('POST', `/api/v1/a2a/${agent.id}`, { jsonrpc: '2.0', id: 1, method, params }, headers)).body
  }
  const send = (version: string, bytes: string) =>
    version === '1.0'
      ? ask(version, 'SendMessage', { message: { role: 'ROLE_USER', messageId: bytes, parts: [{ raw: bytes, mediaType: 'text/plain' }] } })
      : ask(version, 'message/send', {
          message: { kind: 'message', role: 'user', messageId: bytes, parts: [{ kind: 'file', file: { bytes, mimeType: 'text/plain' } }] },
        })
  for (const version of ['1.0', '0.3']) {
    for (const bytes of ['!!!!', 'aGk=\n', 'aG=k', 'sEcret text']) {
      const { error } = await send(version, bytes)
      expect({ version, bytes, code: error?.code }).toEqual({ version, bytes, code: -32602 })
      expect(error.message).not.toContain('sEcret')
    }
    for (const bytes of ['aGk=', 'aGk', 'aGk-', 'aGk_']) expect((await send(version, bytes)).error).toBeUndefined()
  }
  const { id } = (await send('1.0', 'aGkh')).result.task
  for (const historyLength of ['x', 1.5, -1])
    expect((await ask('1.0', 'GetTask', { id, historyLength })).error).toMatchObject({ code: -32602 })
  expect((await ask('1.0', 'GetTask', { id, historyLength: 1 })).result.history).toHaveLength(1)

  const { totalSize } = (await ask('1.0', 'ListTasks', {})).result
  const message = { role: 'ROLE_USER', messageId: 'counted', parts: [{ text: 'hi' }] }
  expect((await ask('1.0', 'SendMessage', { message, configuration: { historyLength: -1 } })).error).toMatchObject({ code: -32602 })
  const elsewhere = {
    kind: 'message',
    role: 'user',
    messageId: 'elsewhere',
    taskId: id,
    contextId: 'another',
    parts: [{ kind: 'text', text: 'hi' }],
  }
  expect((await ask('0.3', 'message/send', { message: elsewhere })).error).toMatchObject({ code: -32602 })
  // Nothing was begun.
  expect((await ask('1.0', 'ListTasks', {})).result.totalSize).toBe(totalSize)
  const listed = async (params: object) =>
    (await ask('1.0', 'ListTasks', params)).result.tasks.find((task: { id: string }) => task.id === id)
  expect([(await listed({})).artifacts ?? [], (await listed({ includeArtifacts: true })).artifacts]).toEqual([[], [expect.anything()]])
})

test('params of other types than the protocol has are refused as such, without a word of our code', async () => {
  const send = async (version: string, part: unknown, more: object = {}, push?: object) => {
    const [method, role, configuration] =
      version === '1.0'
        ? ['SendMessage', 'ROLE_USER', { taskPushNotificationConfig: push }]
        : ['message/send', 'user', { pushNotificationConfig: push }]
    const message = { kind: 'message', role, messageId: crypto.randomUUID(), parts: [part], ...more }
    const call = { jsonrpc: '2.0', id: 1, method, params: { message, ...(push && { configuration }) } }
    const headers = { 'x-api-key': agent.config.api_key, 'a2a-version': version }
    return app.stranger('POST', `/api/v1/a2a/${agent.id}`, call, headers)
  }
  const url = 'https://example.com/'
  const answers = [
    await send('1.0', null),
    await send('1.0', { raw: 5 }),
    await send('1.0', { text: 'hi' }, {}, { url, authentication: { scheme: 5 } }),
    await send('0.3', { kind: 'file' }),
    await send('0.3', { kind: 'file', file: null }),
    await send('0.3', { kind: 'file', file: { bytes: 5 } }),
    await send('0.3', { kind: 'text', text: 'hi' }, { extensions: 5 }),
    await send('0.3', { kind: 'text', text: 'hi' }, {}, { url, authentication: { schemes: [5] } }),
    await send('0.3', { kind: 'text', text: 'hi' }, {}, { url, token: 5 }),
  ]
  for (const { status, body } of answers) {
    expect({ status, body }).toMatchObject({ status: 200, body: { id: 1, error: { code: -32602 } } })
    expect(body.error.message).not.toMatch(/evaluating|argument|Spread|toLowerCase/)
  }
})

test('what is no matter of the protocol keeps its HTTP status, also where a stream was asked for', async () => {
  const strict = await startApp({ RATE_CHATS_PER_MINUTE: '2' })
  const { call, clientId } = strict.ada
  const { id, config } = (
    await call('POST', '/api/v1/agents/', { client_id: clientId, name: 'echo', type: 'llm', model: 'demo/echo', config: {} })
  ).body
  const ask = (method: string) =>
    strict.stranger('POST', `/api/v1/a2a/${id}`, { jsonrpc: '2.0', id: 1, method, params: {} }, { 'x-api-key': config.api_key })
  for (let i = 0; i < 2; i++) await ask('GetTask')
  const refused = await ask('SendStreamingMessage')
  expect({ status: refused.status, after: refused.headers.get('retry-after') }).toEqual({
    status: 429,
    after: expect.stringMatching(/^\d+$/),
  })
  expect(refused.body).toMatchObject({ jsonrpc: '2.0', id: 1, error: { code: -32603 }, type: expect.stringContaining('rate-limited') })
  await strict.close()
})
