import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { webhookDeliveries } from '~/features/webhooks/table'
import { type Reply, startApp, type TestApp } from '../support/start-app'
import { REQUESTS } from './access-requests'
import { createWorld, type World } from './access-world'

setDefaultTimeout(60_000)

let app: TestApp
let world: World
let document: Document
beforeAll(async () => {
  app = await startApp({ RATE_REQUESTS_PER_MINUTE: '1000000', RATE_CHATS_PER_MINUTE: '1000000' })
  world = await createWorld(app)
  document = (await (await fetch(`${app.url}/openapi.json`)).json()) as Document
})
afterAll(() => app.close())

interface Schema {
  $ref?: string
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  items?: Schema
  readOnly?: boolean
}
interface Parameter {
  $ref?: string
  in: string
  name: string
}
interface Operation {
  parameters?: Parameter[]
  requestBody?: { content: Record<string, { schema?: Schema }> }
}
interface Document {
  paths: Record<string, Record<string, Operation>>
  components: { schemas?: Record<string, Schema>; parameters?: Record<string, Parameter> }
}

/** One place of a route where an id goes: `path agent_id`, `body client_id`, `header x-client-id`. */
interface Position {
  route: string
  place: string
  name: string
}

/** Names that end like an id and are none of an object of ours, and what the words of a path are. */
const NO_IDS = new Set(['ext_id', 'external_id', 'name', 'token', 'scope', 'version', 'filename', 'queue', 'email', 'trace_id'])
/** Of the catalogues that all clients share. */
const SHARED = new Set(['server_id', 'tool_id'])
/** Ids that nothing is looked up by. */
const WITHOUT_EFFECT = new Set([
  // Ignored: the path says it.
  'POST /api/v1/chat/:agent_id/:external_id body agent_id',
  // The caller's own number of a JSON-RPC request, and a tool's name at its server.
  'POST /api/v1/a2a/:agent_id body id',
  'POST /api/v1/a2a/:agent_id/conversation/history body id',
])
/** What a parameter of another name holds the id of. */
const ALSO: Record<string, string> = { 'x-client-id': 'client_id', taskId: 'run_id', api_key_id: 'key_id', actor_user_id: 'user_id' }

const isId = (name: string) => (/_id$|-id$|^taskId$/.test(name) || name === 'id') && !NO_IDS.has(name)

function positionsOf(): Position[] {
  const found: Position[] = []
  for (const [path, operations] of Object.entries(document.paths))
    for (const [method, operation] of Object.entries(operations)) {
      const route = `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`
      for (const parameter of operation.parameters ?? []) {
        const { in: place, name } = parameter.$ref ? (document.components.parameters?.[lastOf(parameter.$ref)] ?? parameter) : parameter
        if (place === 'path' ? !NO_IDS.has(name) : isId(name)) found.push({ route, place, name })
      }
      for (const { schema } of Object.values(operation.requestBody?.content ?? {}))
        for (const name of idsIn(schema)) found.push({ route, place: 'body', name })
    }
  const unique = new Map(found.map((position) => [`${position.route} ${position.place} ${position.name}`, position]))
  return [...unique].filter(([key, { name }]) => !WITHOUT_EFFECT.has(key) && !SHARED.has(name)).map(([, position]) => position)
}

/** Of the body's own members: deeper ones are named below. */
function idsIn(schema: Schema | undefined, depth = 0): string[] {
  if (schema === undefined || depth > 4) return []
  if (schema.$ref !== undefined) return idsIn(document.components.schemas?.[lastOf(schema.$ref)], depth + 1)
  const own = Object.entries(schema.properties ?? {}).flatMap(([name, member]) => (isId(name) && !member.readOnly ? [name] : []))
  return [...own, ...(schema.anyOf ?? []).flatMap((one) => idsIn(one, depth + 1))]
}

const lastOf = (pointer: string) => pointer.split('/').at(-1) ?? ''

/** An id of Bob's of that kind. A name that nobody here knows an object for fails the test. */
async function foreignId(name: string): Promise<string> {
  if (name === 'sign_in_id') return JSON.parse(Buffer.from(app.bob.token.split('.')[1] ?? '', 'base64url').toString()).sid
  if (name === 'resource_id') return world.tenants.foreign.agentId
  if (name === 'delivery_id') {
    const [id, webhookId, { clientId }] = [crypto.randomUUID(), await foreignId('webhook_id'), world.tenants.foreign]
    await app.services.db.insert(webhookDeliveries).values({ id, clientId, webhookId, event: 'run.finished', payload: {}, state: 'failed' })
    return id
  }
  return (await world.pathOf(`GET /:${ALSO[name] ?? name}`, 'foreign')).slice(1)
}

const unknownId = (name: string) => (name === 'session_id' ? `${crypto.randomUUID()}_${crypto.randomUUID()}` : crypto.randomUUID())

/** Ada's request with everything her own but that one id. */
async function send({ route, place, name }: Position, id: string): Promise<Reply> {
  const [method = ''] = route.split(' ')
  const path = await world.pathOf(route, 'own', place === 'path' ? { [name]: id } : {})
  const { query = '', body, headers = {} } = (await REQUESTS[route]?.(world, 'own')) ?? {}
  const search = new URLSearchParams(query)
  if (place === 'query') search.set(name, id)
  const sent = place === 'body' ? { ...(body as object), [name]: id } : body
  return app.ada.call(method, `${path}?${search}`, sent, place === 'header' ? { ...headers, [name]: id } : headers)
}

/** All of an answer but what differs between any two. */
const shown = ({ status, headers, body }: Reply, id: string) => {
  const { trace_id: _, instance: __, ...rest } = Array.isArray(body) || typeof body === 'string' ? { body } : body
  return JSON.stringify({ status, type: headers.get('content-type'), total: headers.get('x-total-count'), rest }).replaceAll(id, 'ID')
}

/** A list that is narrowed to what is not there: of rows, of agents in an export, of lines. */
const isEmpty = ({ status, body }: Reply) => status === 200 && ['[]', '{"agents":[]}', '""'].includes(JSON.stringify(body))

async function compare(foreign: string, unknown: string, ask: (id: string) => Promise<Reply>) {
  const [theirs, nobodys] = [await ask(foreign), await ask(unknown)]
  const faults: string[] = []
  if (theirs.status < 300 && !isEmpty(theirs)) faults.push(`${theirs.status} for what is another client's: ${JSON.stringify(theirs.body)}`)
  if (theirs.status >= 500) faults.push(`${theirs.status}`)
  if (shown(theirs, foreign) !== shown(nobodys, unknown)) faults.push(`${shown(theirs, foreign)} and not ${shown(nobodys, unknown)}`)
  return faults
}

/** The server about itself, and people who are not signed in: an id there is a capability of its own. */
const OPEN = /^GET \/(problems|docs|dev)|\.well-known|^GET \/api\/v1\/chat\/ws/

test("another client's id in any place of any documented route is answered like one that does not exist, and never with success", async () => {
  const positions = positionsOf().filter(({ route }) => !OPEN.test(route))
  expect(positions.length).toBeGreaterThan(100)
  for (const place of ['path', 'query', 'header', 'body']) expect(positions.some((position) => position.place === place)).toBe(true)
  const faults: string[] = []
  for (const position of positions) {
    const found = await compare(await foreignId(position.name), unknownId(position.name), (id) => send(position, id))
    faults.push(...found.map((fault) => `${position.route}, ${position.place} ${position.name}: ${fault}`))
  }
  expect(faults).toEqual([])
})

describe('deeper in a body', () => {
  const agentWith = (type: string, config: object) => () =>
    ['POST', '/api/v1/agents/', { client_id: app.ada.clientId, name: 'guide', type, model: 'demo/echo', config }] as const
  const node = (id: string) => ({ id: 'n', type: 'agent-node', position: { x: 0, y: 0 }, data: { label: 'n', agent: { id } } })
  const rpc = (method: string, params: object) => () =>
    ['POST', `/api/v1/a2a/${world.tenants.own.agentId}`, { jsonrpc: '2.0', id: 1, method, params }] as const

  type Request = () => readonly [method: string, path: string, body: object]
  test.each<[string, string, (id: string) => Request]>([
    ['sub_agents', 'agent_id', (id: string) => agentWith('llm', { sub_agents: [id] })],
    ['sub_agents in order', 'agent_id', (id: string) => agentWith('sequential', { sub_agents: [id] })],
    ['agent_tools', 'agent_id', (id: string) => agentWith('llm', { agent_tools: [id] })],
    [
      "a task's agent",
      'agent_id',
      (id: string) => agentWith('task', { tasks: [{ agent_id: id, description: 'd', expected_output: 'o' }] }),
    ],
    ["a workflow's agent", 'agent_id', (id: string) => agentWith('workflow', { workflow: { nodes: [node(id)], edges: [] } })],
    ['tasks/get', 'run_id', (id: string) => rpc('tasks/get', { taskId: id })],
    ['tasks/cancel', 'run_id', (id: string) => rpc('tasks/cancel', { taskId: id })],
    ['pushNotificationConfig/get', 'run_id', (id: string) => rpc('tasks/pushNotificationConfig/get', { taskId: id })],
    ['tasks/resubscribe', 'run_id', (id: string) => rpc('tasks/resubscribe', { taskId: id })],
  ])('%s', async (_, name, requestWith) => {
    const ask = async (id: string) => {
      const reply = await app.ada.call(...requestWith(id)())
      // JSON-RPC refuses with 200, and says so in its body.
      return reply.status === 200 && reply.body?.error !== undefined ? { ...reply, status: 404 } : reply
    }
    expect(await compare(await foreignId(name), unknownId(name), ask)).toEqual([])
  })
})
