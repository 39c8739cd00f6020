import { afterAll, beforeAll, expect, test } from 'bun:test'
import { isTurnComplete, openChat } from '../support/chat-socket'
import { type Reply, startApp, type TestApp } from '../support/start-app'
import { until } from '../support/until'

/** Agents of every kind as they are defined and talked to over REST. Their models are demo/echo: each says what it was told last. */

let app: TestApp
beforeAll(async () => {
  app = await startApp({ OUTBOUND_ALLOW: '127.0.0.1', RUN_MAX_DEPTH: '3' })
})
afterAll(() => app.close())

let count = 0
const define = async (type: string, more: object = {}): Promise<string> => {
  const llm = type === 'llm' ? { model: 'demo/echo' } : {}
  const reply = await app.ada.call('POST', '/api/v1/agents/', {
    client_id: app.ada.clientId,
    name: `${type}${++count}`,
    type,
    ...llm,
    ...more,
  })
  if (reply.status !== 201) throw new Error(JSON.stringify(reply.body))
  return reply.body.id
}
const llm = (name: string, config: object = {}) => define('llm', { name, config: { custom_tools: null, ...config } })
const talk = (agentId: string, message: string, session: string = crypto.randomUUID()) =>
  app.ada.call('POST', `/api/v1/chat/${agentId}/${session}`, { message })
const said = ({ body }: Reply): string[] =>
  body.message_history.map(
    ({ author, content }: { author: string; content: { parts: { text: string | null }[] } }) =>
      `${author}: ${content.parts.map(({ text }) => text ?? '*').join('')}`,
  )

test('defect 2: sequential, parallel and loop agents run what they are made of', async () => {
  const [a, b] = await Promise.all([llm('a'), llm('b')])
  expect(said(await talk(await define('sequential', { config: { sub_agents: [a, b] } }), 'hi'))).toEqual([
    'a: Echo: hi',
    'b: Echo: [a] said: Echo: hi',
  ])
  const parallel = await talk(await define('parallel', { config: { sub_agents: [a, b] } }), 'hi')
  expect(said(parallel).toSorted()).toEqual(['a: Echo: hi', 'b: Echo: hi'])
  const loop = await talk(await define('loop', { config: { sub_agents: [a], max_iterations: 3 } }), 'hi')
  expect(said(loop)).toHaveLength(3)
  const left = await talk(await define('loop', { config: { sub_agents: [a, b] } }), '/tool exit_loop {}')
  expect(said(left)).toEqual(['a: *', 'a: *'])
  expect(left.body.message_history[1].actions.escalate).toBe(true)
})

test('defect 16: a task agent does all its tasks, and the session knows the last', async () => {
  const a = await llm('worker')
  const tasks = ['First look at {content}', 'Then write'].map((description) => ({ agent_id: a, description, expected_output: 'text' }))
  const id = await define('task', { name: 'crew', config: { tasks } })
  const answer = await talk(id, 'the sea', 'sailor')
  expect(answer.body.message_history.map(({ author }: { author: string }) => author)).toEqual([
    'crew',
    'crew - Task executor',
    'worker',
    'crew - Task executor',
    'worker',
  ])
  expect(answer.body.response).toContain('<description>Then write</description>')
  const { state } = (await app.ada.call('GET', `/api/v1/sessions/sailor_${id}`)).body
  expect(state.task_instructions).toContain('Then write')
})

test('defect 20: tools of an agent may be agents of any kind', async () => {
  const [a, b] = await Promise.all([llm('c'), llm('d')])
  const pair = await define('sequential', { name: 'pair', config: { sub_agents: [a, b] } })
  const host = await llm('host', { agent_tools: [pair] })
  const answer = await talk(host, '/tool pair {"request": "hello"}')
  expect(answer.body.response).toBe('Echo: pair returned {"result":"Echo: [c] said: Echo: hello"}')
  expect(said(answer)).toEqual(['host: *', 'host: *', `host: ${answer.body.response}`])
})

test('an agent hands over to another, and says so in the event', async () => {
  const clerk = await llm('clerk')
  const front = await llm('front', { sub_agents: [clerk] })
  const answer = await talk(front, '/tool transfer_to_agent {"agent_name": "clerk"}')
  expect(answer.body.message_history[1].actions.transfer_to_agent).toBe('clerk')
  expect(answer.body.message_history.at(-1)).toMatchObject({ author: 'clerk' })
})

test('a workflow goes through its nodes, and what it ends with is the answer', async () => {
  const a = await llm('e')
  const nodes = [
    { id: 's', type: 'start-node', position: { x: 1, y: 2 }, data: { label: 'Start' } },
    { id: 'n', type: 'agent-node', data: { label: 'Ask', agent: { id: a } } },
    {
      id: 'c',
      type: 'condition-node',
      data: {
        label: 'Polite?',
        conditions: [{ id: 'k', type: 'previous-output', data: { field: 'content', operator: 'contains', value: 'PLEASE' } }],
      },
    },
    { id: 'yes', type: 'message-node', data: { message: { type: 'text', content: 'of course' } } },
    { id: 'no', type: 'message-node', data: { message: { type: 'text', content: 'ask nicely' } } },
  ]
  const edges = [
    { id: '1', source: 's', target: 'n' },
    { id: '2', source: 'n', target: 'c' },
    { id: '3', source: 'c', target: 'yes', sourceHandle: 'k' },
    { id: '4', source: 'c', target: 'no', sourceHandle: 'bottom-handle' },
  ]
  const id = await define('workflow', { config: { workflow: { nodes, edges } } })
  expect((await talk(id, 'please')).body.response).toBe('of course')
  const rude = await talk(id, 'now')
  expect(rude.body.response).toBe('ask nicely')
  expect(rude.body.message_history.map(({ author }: { author: string }) => author)).toEqual(
    ['s', 'n', 'c', 'no'].map((node) => `workflow-node:${node}`),
  )
})

const delayed = () => {
  const nodes = [
    { id: 's', type: 'start-node', data: {} },
    { id: 'd', type: 'delay-node', data: { delay: { value: 3, unit: 'seconds' } } },
    { id: 'm', type: 'message-node', data: { message: { content: 'later' } } },
  ]
  const edges = [
    { id: '1', source: 's', target: 'd' },
    { id: '2', source: 'd', target: 'm' },
  ]
  return define('workflow', { config: { workflow: { nodes, edges } } })
}

test('a delay passes by itself: whoever talks to the agent has the answer behind it, on every way', async () => {
  const id = await delayed()
  const socket = await openChat(`${app.url}/api/v1/chat/ws/${id}/socket`, { type: 'authorization', token: app.ada.token })
  const overSocket = async () => {
    socket.send({ message: 'hi' })
    await socket.until(isTurnComplete)
    return socket.frames.flatMap(({ message }) => message.content?.parts[0].text ?? [])
  }
  const overA2a = async (method: string) => {
    const message = { role: 'user', messageId: crypto.randomUUID(), parts: [{ type: 'text', text: 'hi' }] }
    const response = await fetch(`${app.url}/api/v1/a2a/${id}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${app.ada.token}` },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { message } }),
    })
    const last = (await response.text()).split('\n').findLast((line) => line.includes('"result"')) ?? ''
    return JSON.parse(last.replace(/^data: /, '')).result
  }
  const [rest, texts, sent, streamed] = await Promise.all([
    talk(id, 'hi'),
    overSocket(),
    overA2a('message/send'),
    overA2a('message/stream'),
  ])
  expect(rest.body.response).toBe('later')
  expect(texts).toEqual(['Workflow started', 'later'])
  expect(sent).toMatchObject({ status: { state: 'completed' }, artifacts: [{ parts: [{ text: 'later' }] }] })
  expect(streamed).toMatchObject({ status: { state: 'completed', message: { parts: [{ text: 'later' }] } }, final: true })
  socket.socket.close()
})

test('a client that leaves with on_disconnect=cancel takes its run with it during a delay too', async () => {
  const id = await delayed()
  const socket = await openChat(`${app.url}/api/v1/chat/ws/${id}/leaver?deltas=true&on_disconnect=cancel`, {
    type: 'authorization',
    token: app.ada.token,
  })
  socket.send({ message: 'hi' })
  const { run_id } = await socket.until(({ type }) => type === 'run-waiting')
  socket.socket.close()
  const statusOf = async () => (await app.ada.call('GET', `/api/v1/runs/${run_id}`)).body.status
  await until(async () => ['succeeded', 'cancelled'].includes(await statusOf()))
  expect(await statusOf()).toBe('cancelled')
})

test('defect 62: a delay holds no process and uses up none of the time that a run may take', async () => {
  const id = await delayed()
  const { status, body } = await app.ada.call('POST', `/api/v1/agents/${id}/runs`, {
    message: 'hi',
    timeout_seconds: 2,
    on_disconnect: 'cancel',
  })
  expect({ status, waits: body.status, reason: body.waiting_for.reason }).toEqual({ status: 202, waits: 'waiting', reason: 'delay' })
  const held = await app.services.db.execute(
    `select 1 from runs where id = '${body.id}' and (lease_owner is not null or lease_until is not null)`,
  )
  expect(held).toHaveLength(0)
  const read = async () => (await app.ada.call('GET', `/api/v1/runs/${body.id}`)).body
  await until(async () => (await read()).status === 'succeeded')
  expect((await read()).result).toEqual({ response: 'later' })
})

test('defect 64: agents nested too deep fail the run with a word about it, whatever let them in', async () => {
  const inner = await llm('deep')
  let id = inner
  for (let level = 0; level < 3; level++) id = await define('sequential', { config: { sub_agents: [id] } })
  const answer = await talk(id, 'hi')
  expect(answer.status).toBe(422)
  expect(answer.body.type).toEndWith('/limit-exceeded')
})

test('defect 14: an agent that is not there is not found, on every way in', async () => {
  const nobody = crypto.randomUUID()
  expect((await talk(nobody, 'hi')).status).toBe(404)
  expect((await app.ada.call('POST', `/api/v1/agents/${nobody}/runs`, { message: 'hi' })).status).toBe(404)
})

test("ACL-05: another client's agent that got in anyhow is not run", async () => {
  const mine = await llm('mine')
  const { body: theirs } = await app.bob.call('POST', '/api/v1/agents/', {
    client_id: app.bob.clientId,
    name: 'x',
    type: 'llm',
    model: 'demo/echo',
    config: {},
  })
  const id = await define('sequential', { config: { sub_agents: [mine] } })
  await app.services.db.execute(`update agents set config = '{"sub_agents": ["${theirs.id}"]}' where id = '${id}'`)
  const answer = await talk(id, 'hi')
  expect(answer.status).toBe(404)
  expect(JSON.stringify(answer.body)).not.toContain('Echo')
})

test('an agent that remembers finds what the contact said before, and nobody else', async () => {
  const id = await llm('elephant', { load_memory: true })
  await talk(id, 'my dog is called Rex', 'anna')
  await talk(id, 'my dog is called Bello', 'otto')
  const answer = await talk(id, '/tool load_memory {"query": "dog called"}', 'anna')
  expect(answer.body.response).toContain('Rex')
  expect(answer.body.response).not.toContain('Bello')
})
