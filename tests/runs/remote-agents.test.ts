import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readEvents, shownText } from '../support/events'
import { type RemotePeer, startRemoteAgent } from '../support/remote-agent'
import { startApp, type TestApp } from '../support/start-app'

/** Our own server as the remote side, at the address that its cards name, and an agent of the official SDK. */
let app: TestApp
let door: ReturnType<typeof Bun.serve>
let peer: RemotePeer
let cards: ReturnType<typeof Bun.serve>

beforeAll(async () => {
  door = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    idleTimeout: 60,
    fetch: (request) => fetch(request.url.replace(door.url.origin, app.url), request),
  })
  peer = startRemoteAgent('0.3')
  cards = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => Response.json(peer.card) })
  app = await startApp({ OUTBOUND_ALLOW: '127.0.0.1', API_URL: door.url.origin, ALLOWED_HOSTS: '*' })
})
afterAll(async () => {
  await app.close()
  await Promise.all([door.stop(true), cards.stop(true), peer.stop()])
})

const create = async (agent: object) => {
  const { status, body } = await app.ada.call('POST', '/api/v1/agents/', { client_id: app.ada.clientId, ...agent })
  if (status !== 201) throw new Error(JSON.stringify(body))
  return body
}
const echo = () => create({ name: 'echo', type: 'llm', model: 'demo/echo', config: {} })
const remoteOf = ({ agent_card_url, config }: { agent_card_url: string; config: { api_key: string } }) =>
  create({ name: 'remote', type: 'a2a', agent_card_url, config: { auth: { type: 'apiKey', name: 'x-api-key', value: config.api_key } } })
const ask = (id: string, message: string, session: string = crypto.randomUUID()) =>
  app.ada.call('POST', `/api/v1/chat/${id}/${session}`, { message })

test('defect 4: an a2a agent reaches an agent of another server, shows its words as they come, and keeps its conversation', async () => {
  const { id } = await remoteOf(await echo())
  const response = await fetch(`${app.url}/api/v1/chat/${id}/talk?stream=true`, {
    method: 'POST',
    headers: { authorization: `Bearer ${app.ada.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ message: '/slow 30\none two three' }),
  })
  const events = await readEvents(response)
  expect(shownText(events)).toBe('Echo: one two three')
  expect(events.filter(({ type }) => type === 'text-delta').length).toBeGreaterThan(1)
  expect(events.at(-1)).toMatchObject({ type: 'run-finished', data: { response: 'Echo: one two three' } })
  expect((await ask(id, 'again', 'talk')).body.response).toBe('Echo: again')
  const contexts = await app.services.db.execute<{ context_id: string }>('select distinct context_id from a2a_tasks')
  expect(contexts).toHaveLength(1)
})

test('an agent of the official SDK answers through ours', async () => {
  const { id } = await create({ name: 'parrot', type: 'a2a', agent_card_url: `${cards.url.origin}/.well-known/agent.json`, config: {} })
  expect((await ask(id, 'hello')).body.response).toBe('Parrot: hello')
  expect(await ask(id, 'fail')).toMatchObject({ status: 502, body: { detail: expect.stringContaining('the parrot is ill') } })
})

test('a wrong credential is an upstream error, and not a sign-out of our own caller', async () => {
  const { id } = await remoteOf({ ...(await echo()), config: { api_key: 'wrong' } })
  expect((await ask(id, 'hello')).status).toBe(502)
})

test('SSRF-11: agents that call each other in a circle stop at the limit, and all their runs end', async () => {
  const remote = await remoteOf(await echo())
  const own = `${door.url.origin}/api/v1/a2a/${remote.id}/.well-known/agent.json`
  const auth = { type: 'apiKey', name: 'x-api-key', value: remote.config.api_key }
  expect((await app.ada.call('PUT', `/api/v1/agents/${remote.id}`, { agent_card_url: own, config: { auth } })).status).toBe(200)
  expect(await ask(remote.id, 'round and round')).toMatchObject({ status: 502 })
  const [runs] = await app.services.db.execute<{ total: number; open: number }>(
    `select count(*)::int as total, count(*) filter (where finished_at is null)::int as open from runs where agent_id = '${remote.id}'`,
  )
  expect(runs?.total).toBeLessThanOrEqual(9)
  expect(runs?.total).toBeGreaterThan(1)
  expect(runs?.open).toBe(0)
})
