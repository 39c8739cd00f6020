import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { createPushWorker } from '~/features/a2a/worker'
import { silentLog } from '~/platform/log'
import { startApp, type TestApp } from '../support/start-app'
import { until } from '../support/until'

interface Notice {
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: three dialects
  body: any
}

let app: TestApp
let hook: ReturnType<typeof Bun.serve>
let agent: { id: string; config: { api_key: string } }
let notices: Notice[] = []
let answers: (number | Response)[] = []
const stopping = new AbortController()
let working: Promise<void>

beforeAll(async () => {
  hook = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      notices.push({ headers: request.headers, body: await request.json() })
      const answer = answers.shift() ?? 200
      return answer instanceof Response ? answer : new Response(null, { status: answer })
    },
  })
  app = await startApp({ OUTBOUND_ALLOW: '127.0.0.1' })
  const { call, clientId } = app.ada
  agent = (await call('POST', '/api/v1/agents/', { client_id: clientId, name: 'echo', type: 'llm', model: 'demo/echo', config: {} })).body
  const { secrets, outbound, clock, stores } = app.services
  const worker = createPushWorker({
    database: stores.database,
    secrets,
    outbound,
    clock,
    log: silentLog,
    version: '9.9',
    pollMs: 50,
    retryMs: 100,
  })
  working = worker.run(stopping.signal)
})
afterAll(async () => {
  stopping.abort()
  await working
  await app.close()
  await hook.stop(true)
})
beforeEach(() => {
  notices = []
  answers = []
})

const rpc = (method: string, params: object, version?: string) =>
  app.stranger(
    'POST',
    `/api/v1/a2a/${agent.id}`,
    { jsonrpc: '2.0', id: 1, method, params },
    { 'x-api-key': agent.config.api_key, ...(version === undefined ? {} : { 'a2a-version': version }) },
  )
const url = () => `http://127.0.0.1:${hook.port}/hook`
const message = (text: string) => ({ role: 'user', messageId: crypto.randomUUID(), parts: [{ type: 'text', text }] })
const stateOf = async (taskId: string) => {
  const [row] = await app.services.db.execute<{ state: string; attempts: number; outcome: string }>(
    `select state, attempts, outcome from a2a_push_configs where run_id = '${taskId}'`,
  )
  return row
}
const settled = async (taskId: string) => {
  for (const deadline = performance.now() + 10_000; ; await Bun.sleep(30)) {
    const state = await stateOf(taskId)
    if (state?.state !== 'pending' || performance.now() > deadline) return state
  }
}

test('defect 22: the end of a task is told to its webhook, with the token and the credentials that it wants', async () => {
  const { body } = await rpc('message/send', {
    message: message('hello'),
    configuration: {
      pushNotificationConfig: { url: url(), token: 'tok', authentication: { type: 'apikey', apiKey: 'k', headerName: 'x-hook-key' } },
    },
  })
  expect(await settled(body.result.id)).toEqual({ state: 'sent', attempts: 1, outcome: '200' })
  expect(notices).toHaveLength(1)
  expect(notices[0]?.body).toMatchObject({
    id: body.result.id,
    status: { state: 'completed' },
    artifacts: [{ parts: [{ text: 'Echo: hello' }] }],
  })
  expect(Object.fromEntries(notices[0]?.headers ?? [])).toMatchObject({
    'user-agent': 'A2A-Server/9.9',
    'x-a2a-notification-token': 'tok',
    'x-hook-key': 'k',
    'content-type': 'application/json',
  })
})

test('a webhook that fails is tried again until it has heard, each time under the same key', async () => {
  answers = [500, 503]
  const { body } = await rpc('message/send', { message: message('/fail'), pushNotificationConfig: { webhookUrl: url() } })
  expect(await settled(body.result.id)).toMatchObject({ state: 'sent', attempts: 3 })
  expect(notices.map((notice) => notice.body.status.state)).toEqual(['failed', 'failed', 'failed'])
  expect(new Set(notices.map(({ headers }) => headers.get('idempotency-key')))).toEqual(new Set([`${body.result.id}:default`]))
})

test('a webhook that never hears is told eight times, and then no more', async () => {
  answers = Array(9).fill(500)
  const { body } = await rpc('message/send', { message: message('of no use'), pushNotificationConfig: { webhookUrl: url() } })
  await until(() => notices.length > 0)
  await app.services.db.execute(`update a2a_push_configs set attempts = 7, due_at = now() where run_id = '${body.result.id}'`)
  expect(await settled(body.result.id)).toEqual({ state: 'failed', attempts: 8, outcome: '500' })
})

test('the status is the answer, whatever is said besides; a redirect is not followed, but may be over later', async () => {
  answers = [Response.redirect(url(), 307), new Response('x'.repeat(2_000_000))]
  const { body } = await rpc('message/send', { message: message('hello'), pushNotificationConfig: { webhookUrl: url() } })
  expect(await settled(body.result.id)).toEqual({ state: 'sent', attempts: 2, outcome: '200' })
  expect(notices).toHaveLength(2)
})

test("a config that was sealed when the reference's word for its scheme was kept is shown with it", async () => {
  const { clientId } = app.ada
  const { body } = await rpc('message/send', { message: message('hello') })
  const taskId: string = body.result.id
  const pushNotificationConfig = { url: url(), authentication: { type: 'bearer', token: 'sEcret' } }
  const { body: set } = await rpc('tasks/pushNotificationConfig/set', { taskId, pushNotificationConfig })
  await settled(taskId)
  const { db, secrets } = app.services
  const old = { url: url(), headers: { authorization: 'Bearer sEcret' }, shown: { type: 'bearer' } }
  const sealed = await secrets.seal(db, clientId, `a2a_push_configs:${taskId}:default`, JSON.stringify(old))
  await db.execute(sql`update a2a_push_configs set sealed = ${sealed} where run_id = ${taskId}`)
  const { body: shown } = await rpc('tasks/pushNotificationConfig/get', { taskId })
  expect(shown.result.pushNotificationConfig).toEqual(set.result.pushNotificationConfig)
  expect(shown.result.pushNotificationConfig.authentication).toEqual({ type: 'bearer', schemes: ['bearer'] })
  const { body: official } = await rpc('GetTaskPushNotificationConfig', { taskId, id: 'default' }, '1.0')
  expect(official.result.authentication).toEqual({ scheme: 'bearer' })
})

test('nobody is told before the task is over, and who asks later is told at once', async () => {
  const running = rpc('message/send', { message: message('/slow 150\na b c d e'), pushNotificationConfig: { webhookUrl: url() } })
  await Bun.sleep(400)
  expect(notices).toEqual([])
  const { id: taskId } = (await running).body.result
  await settled(taskId)
  expect(notices).toHaveLength(1)
  expect((await rpc('tasks/pushNotificationConfig/set', { taskId, pushNotificationConfig: { url: url() } })).body.result).toEqual({
    success: true,
    taskId,
    pushNotificationConfig: { id: 'default', url: url() },
  })
  await until(() => notices.length === 2, 5000)
  expect((await rpc('tasks/pushNotificationConfig/get', { taskId })).body.result.pushNotificationConfig.url).toBe(url())
})

test('a webhook that is replaced while its former address is being told is told too', async () => {
  const told = Promise.withResolvers<void>()
  const release = Promise.withResolvers<void>()
  const slow = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch() {
      told.resolve()
      await release.promise
      return new Response(null, { status: 204 })
    },
  })
  const { body } = await rpc('message/send', { message: message('hi'), pushNotificationConfig: { url: `${slow.url}former` } })
  await told.promise
  await rpc('tasks/pushNotificationConfig/set', { taskId: body.result.id, pushNotificationConfig: { url: url() } })
  release.resolve()
  await until(() => notices.length === 1, 10_000)
  expect(await settled(body.result.id)).toMatchObject({ state: 'sent' })
  await slow.stop(true)
})

test('a task that needs somebody on its way is told of then, once, and again when it is over', async () => {
  const tool = {
    name: 'book',
    method: 'POST',
    endpoint: `http://127.0.0.1:${hook.port}/book`,
    description: 'Books',
    require_approval: true,
  }
  const definition = { client_id: app.ada.clientId, name: 'booker', type: 'llm', model: 'demo/echo' }
  const { body: booker } = await app.ada.call('POST', '/api/v1/agents/', {
    ...definition,
    config: { custom_tools: { http_tools: [tool] } },
  })
  answers = [500]
  const params = { message: message('/tool book {}'), pushNotificationConfig: { webhookUrl: url() } }
  const { body } = await app.stranger(
    'POST',
    `/api/v1/a2a/${booker.id}`,
    { jsonrpc: '2.0', id: 1, method: 'message/send', params },
    { 'x-api-key': booker.config.api_key },
  )
  const taskId = body.result.id
  const states = () => notices.filter(({ body }) => body.id === taskId).map((notice) => notice.body.status.state)
  await until(() => states().length === 2, 10_000)
  // It is not the other agent that has to say something.
  expect(states()).toEqual(['working', 'working'])
  expect(JSON.stringify(notices[0]?.body.status.message)).toContain('Waiting: approval.')
  expect(new Set(notices.map(({ headers }) => headers.get('idempotency-key'))).size).toBe(1)
  expect(await stateOf(taskId)).toMatchObject({ state: 'pending' })
  expect((await app.ada.call('POST', `/api/v1/runs/${taskId}/approve`, { decision: 'reject', reason: 'no' })).status).toBe(200)
  expect(await settled(taskId)).toMatchObject({ state: 'sent', attempts: 1 })
  expect(states()).toEqual(['working', 'working', 'completed'])
})

test('each version of the protocol is told in its own words', async () => {
  const part = { text: 'hi' }
  const configuration = { taskPushNotificationConfig: { url: url(), authentication: { scheme: 'Bearer', credentials: 'abc' } } }
  const newer = await rpc('SendMessage', { message: { ...message(''), role: 'ROLE_USER', parts: [part] }, configuration }, '1.0')
  await settled(newer.body.result.task.id)
  expect(notices[0]?.body).toMatchObject({
    task: { status: { state: 'TASK_STATE_COMPLETED' }, artifacts: [{ parts: [{ text: 'Echo: hi' }] }] },
  })
  expect(notices[0]?.headers.get('authorization')).toBe('Bearer abc')
  const older = await rpc(
    'message/send',
    {
      message: { ...message(''), kind: 'message', parts: [{ kind: 'text', text: 'hi' }] },
      configuration: { blocking: true, pushNotificationConfig: { url: url() } },
    },
    '0.3',
  )
  await settled(older.body.result.id)
  expect(notices[1]?.body).toMatchObject({
    kind: 'task',
    status: { state: 'completed' },
    artifacts: [{ parts: [{ kind: 'text', text: 'Echo: hi' }] }],
  })
})
