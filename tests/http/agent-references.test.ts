import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { MAX_REFERRERS } from '~/features/agents/forget-agent'
import { startApp, type TestApp } from '../support/start-app'

const AGENTS = '/api/v1/agents/'

let app: TestApp
beforeAll(async () => {
  app = await startApp()
  await app.ada.call('POST', `/api/v1/clients/${app.ada.clientId}/webhooks`, { url: 'https://hooks.example/x', events: ['agent.changed'] })
})
afterAll(() => app.close())

const make = async (name: string, more: object = {}): Promise<string> => {
  const { status, body } = await app.ada.call('POST', AGENTS, {
    client_id: app.ada.clientId,
    name,
    type: 'llm',
    model: 'demo/echo',
    config: {},
    ...more,
  })
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`)
  return body.id
}
const read = async (id: string) => (await app.ada.call('GET', AGENTS + id)).body
/** What the client's own systems are told from now on. */
const toldBy = async (act: () => Promise<unknown>) => {
  await app.services.db.execute(sql`truncate webhook_deliveries, outbox cascade`)
  await act()
  const rows = await app.services.db.execute<{ told: string }>(
    sql`select (payload->'data'->>'agent_id') || ' ' || (payload->'data'->>'change') as told from webhook_deliveries order by 1`,
  )
  return rows.map(({ told }) => told)
}
const markOf = ({ clientId }: { clientId: string }) => {
  const { redis } = app.services.stores
  return redis.run((client) => client.get(redis.key('defined', `{${clientId}}`)))
}

test('defect 66: a deleted agent leaves the lists, tasks and workflows of all that named it, each in a new version', async () => {
  const [gone, stays] = [await make('gone'), await make('stays')]
  const task = (agent_id: string) => ({ agent_id, description: 'Do it', expected_output: 'it' })
  const node = (id: string, agent: string) => ({
    id,
    type: 'agent-node',
    position: { x: 1, y: 2 },
    data: { label: id, agent: { id: agent } },
  })
  const start = { id: 's', type: 'start-node', position: { x: 0, y: 0 }, data: { label: 'Start' } }
  const edges = [
    { id: 'e1', source: 's', target: 'a' },
    { id: 'e2', source: 'a', target: 'b' },
  ]
  const namers = {
    llm: await make('llm', { config: { agent_tools: [gone], sub_agents: [stays, gone.toUpperCase()] } }),
    sequence: await make('sequence', { type: 'sequential', config: { sub_agents: [gone, stays] } }),
    only: await make('only', { type: 'parallel', config: { sub_agents: [gone] } }),
    tasks: await make('tasks', { type: 'task', config: { tasks: [task(gone), task(stays)] } }),
    flow: await make('flow', { type: 'workflow', config: { workflow: { nodes: [start, node('a', gone), node('b', stays)], edges } } }),
  }
  const other = await make('other', { type: 'sequential', config: { sub_agents: [stays] } })
  const before = await read(other)

  const told = await toldBy(async () => expect((await app.ada.call('DELETE', AGENTS + gone)).status).toBe(204))
  expect(told).toEqual([`${gone} delete`, ...Object.values(namers).map((id) => `${id} update`)].toSorted())
  expect((await read(namers.llm)).config).toMatchObject({ agent_tools: [], sub_agents: [stays] })
  expect((await read(namers.sequence)).config.sub_agents).toEqual([stays])
  expect((await read(namers.only)).config.sub_agents).toEqual([])
  expect((await read(namers.tasks)).config.tasks).toEqual([task(stays)])
  const flow = (await read(namers.flow)).config.workflow
  expect(flow.edges).toEqual(edges)
  expect(flow.nodes).toEqual([start, { ...node('a', gone), data: { label: 'a' } }, node('b', stays)])
  expect(await read(other)).toEqual(before)

  for (const id of Object.values(namers)) {
    const versions = (await app.ada.call('GET', `${AGENTS}${id}/versions`)).body
    expect(versions[0].version).toBe(2)
  }
  const audited = await app.services.db.execute<{ id: string; details: object }>(
    sql`select payload->>'resource_id' as id, payload->'details' as details from outbox where kind = 'audit' and payload->>'action' = 'update' order by 1`,
  )
  expect(audited.map(({ id }) => id)).toEqual(Object.values(namers).toSorted())
  for (const { details } of audited) expect(details).toMatchObject({ deleted_agent_id: gone, fields: ['config'] })

  // What is left goes on; what is nothing any more says so when it is saved.
  expect((await app.ada.call('POST', `/api/v1/chat/${namers.sequence}/somebody`, { message: 'hi' })).status).toBe(200)
  expect((await app.ada.call('PUT', AGENTS + namers.llm, { description: 'saved again' })).status).toBe(200)
  expect((await app.ada.call('PUT', AGENTS + namers.only, { description: 'saved again' })).status).toBe(422)
})

test('a deletion that would change too much is refused, and then changes nothing', async () => {
  const wanted = await make('wanted')
  const first = await make('first', { type: 'sequential', config: { sub_agents: [wanted] } })
  await app.services.db.execute(sql`
    insert into agents (id, client_id, name, type, config, key_hash, encrypted_key)
    select gen_random_uuid(), client_id, 'n' || n, type, config, sha256(n::text::bytea), encrypted_key
    from agents, generate_series(1, ${MAX_REFERRERS}) n where id = ${first}`)
  const refused = await app.ada.call('DELETE', AGENTS + wanted)
  expect([refused.status, refused.body.type]).toEqual([409, expect.stringMatching(/\/conflict$/)])
  expect((await read(wanted)).name).toBe('wanted')
  expect((await read(first)).config.sub_agents).toEqual([wanted])
  await app.services.db.execute(sql`delete from agents where name like 'n%' and config->'sub_agents' @> ${JSON.stringify([wanted])}::jsonb`)
  expect((await app.ada.call('DELETE', AGENTS + wanted)).status).toBe(204)
})

test('a move and a share link move the mark of what the client has defined; the move is told of as a change', async () => {
  const headers = { 'x-client-id': app.ada.clientId }
  const agent = await make('moved')
  const folder = (await app.ada.call('POST', `${AGENTS}folders`, { client_id: app.ada.clientId, name: 'f' })).body.id
  const marks = [await markOf(app.ada)]
  const told = await toldBy(async () => {
    expect((await app.ada.call('PUT', `${AGENTS}${agent}/folder?folder_id=${folder}`, {}, headers)).status).toBe(200)
    marks.push(await markOf(app.ada))
    expect((await app.ada.call('POST', `${AGENTS}${agent}/share`, {}, headers)).status).toBe(200)
    marks.push(await markOf(app.ada))
    expect((await app.ada.call('DELETE', `${AGENTS}${agent}/share`)).status).toBe(204)
    marks.push(await markOf(app.ada))
  })
  expect(new Set(marks).size).toBe(4)
  expect(told).toEqual([`${agent} update`])
})

test('COST-01: agents are nested ten deep at most, and lead to five hundred others at most', async () => {
  let id = await make('leaf')
  for (let depth = 2; depth <= 10; depth++) id = await make(`level-${depth}`, { config: { agent_tools: [id] } })
  const nest = (agentIds: string[]) =>
    app.ada.call('POST', AGENTS, {
      client_id: app.ada.clientId,
      name: 'top',
      type: 'llm',
      model: 'demo/echo',
      config: { agent_tools: agentIds },
    })
  const deep = await nest([id])
  expect([deep.status, deep.body.errors]).toMatchObject([422, [{ pointer: '/config/agent_tools/0', code: 'depth' }]])
  const many = await make('many')
  await app.services.db.execute(sql`
    with more as (
      insert into agents (id, client_id, name, type, key_hash, encrypted_key)
      select gen_random_uuid(), ${app.ada.clientId}, 'one-of-many', 'llm', decode(md5('many' || n), 'hex'), 'x' from generate_series(1, 500) n returning id
    )
    update agents set config = jsonb_build_object('agent_tools', (select jsonb_agg(id) from more)) where id = ${many}`)
  const wide = await nest([many])
  expect([wide.status, wide.body.errors]).toMatchObject([422, [{ pointer: '/config/agent_tools/0', code: 'limit' }]])
})
