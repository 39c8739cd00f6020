import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { pageHeaders } from '~/platform/http/listing'
import { countSome, MOST_COUNTED } from '~/platform/keyset'
import { type Person, startApp, type TestApp } from '../support/start-app'

const MADE = 7

interface List {
  what: string
  /** Without limit and cursor. */
  path: string
  headers?: Record<string, string>
  as: Person
  make(number: number): Promise<string>
  remove(id: string): Promise<unknown>
}

let app: TestApp
let lists: Record<string, List>
beforeAll(async () => {
  app = await startApp()
  const { ada, bob, admin } = app
  const own = { 'x-client-id': ada.clientId }
  const made = async (person: Person, path: string, body: object): Promise<string> => {
    const answer = await person.call('POST', path, body)
    if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body.id
  }
  const agent = (name: string, more = {}) =>
    made(ada, '/api/v1/agents/', { client_id: ada.clientId, name, type: 'llm', model: 'demo/echo', config: {}, ...more })
  const folder = await made(ada, '/api/v1/agents/folders', { client_id: ada.clientId, name: 'full' })
  /** Bob's, for Ada's agents go. */
  const talked = await made(bob, '/api/v1/agents/', {
    client_id: bob.clientId,
    name: 'talked',
    type: 'llm',
    model: 'demo/echo',
    config: {},
  })
  let talks = 0
  const talk = async () => {
    const number = talks++
    const id = `caller-${number}_${talked}`
    await app.services.db.execute(
      sql`insert into sessions (id, client_id, agent_id, external_id) values (${id}, ${bob.clientId}, ${talked}, ${`caller-${number}`})`,
    )
    return id
  }
  const remover =
    (person: Person, path: string, headers = {}) =>
    (id: string) =>
      person.call('DELETE', `${path}${id}`, undefined, headers)
  /** Names that a collation and an order by bytes would not put alike, and one name for several. */
  const named = (number: number) => ['b', 'A', 'a', 'Z', 'a', 'z_1', 'b'][number] ?? `n${number}`
  const agents = { headers: own, as: ada, remove: remover(ada, '/api/v1/agents/') }
  const keys = '/api/v1/agents/apikeys/'
  const all: List[] = [
    {
      what: 'folders',
      path: '/api/v1/agents/folders',
      headers: own,
      as: ada,
      make: (n) => made(ada, '/api/v1/agents/folders', { client_id: ada.clientId, name: named(n) }),
      remove: remover(ada, '/api/v1/agents/folders/', own),
    },
    {
      what: 'contacts',
      path: `/api/v1/contacts?client_id=${ada.clientId}`,
      as: ada,
      make: () => made(ada, '/api/v1/contacts', { client_id: ada.clientId }),
      remove: remover(ada, '/api/v1/contacts/'),
    },
    { what: 'agents by name', path: '/api/v1/agents/', ...agents, make: (n) => agent(named(n)) },
    { what: 'agents, the last name first', path: '/api/v1/agents/?sort_direction=desc', ...agents, make: (n) => agent(named(n)) },
    { what: 'agents by age', path: '/api/v1/agents/?sort_by=created_at', ...agents, make: (n) => agent(named(n)) },
    {
      what: 'agents, the newest first',
      path: '/api/v1/agents/?sort_by=created_at&sort_direction=desc',
      ...agents,
      make: (n) => agent(named(n)),
    },
    {
      what: 'agents of a folder',
      path: `/api/v1/agents/folders/${folder}/agents`,
      ...agents,
      make: (n) => agent(named(n), { folder_id: folder }),
    },
    {
      what: 'provider keys by provider',
      path: `${keys}?sort_by=provider`,
      headers: own,
      as: ada,
      make: (n) => made(ada, keys, { client_id: ada.clientId, name: 'k', provider: named(n), key_value: 'a-secret' }),
      remove: remover(ada, keys, own),
    },
    {
      what: 'MCP servers',
      path: '/api/v1/mcp-servers',
      as: admin,
      make: () => made(admin, '/api/v1/mcp-servers', { name: 'm', config_json: { url: 'https://mcp.example.com/' }, tools: [] }),
      remove: remover(admin, '/api/v1/mcp-servers/'),
    },
    {
      what: 'tools',
      path: '/api/v1/tools',
      as: admin,
      make: () => made(admin, '/api/v1/tools', { name: 't' }),
      remove: remover(admin, '/api/v1/tools/'),
    },
    {
      what: 'sessions of a client',
      path: `/api/v1/sessions/client/${bob.clientId}`,
      as: bob,
      make: talk,
      remove: remover(bob, '/api/v1/sessions/'),
    },
    {
      what: 'sessions of an agent',
      path: `/api/v1/sessions/agent/${talked}`,
      as: bob,
      make: talk,
      remove: remover(bob, '/api/v1/sessions/'),
    },
    {
      what: 'clients',
      path: '/api/v1/clients',
      as: admin,
      make: (n) => made(admin, '/api/v1/clients', { name: 'c', email: `c${n}@example.com`, password: 'correct horse battery' }),
      remove: remover(admin, '/api/v1/clients/'),
    },
  ]
  const ofClient = `/api/v1/clients/${ada.clientId}`
  const hook = { url: 'https://hooks.example/x', events: ['run.finished'] }
  const webhook = await made(ada, `${ofClient}/webhooks`, hook)
  const delivery = async () => {
    const id = crypto.randomUUID()
    await app.services.db.execute(
      sql`insert into webhook_deliveries (id, client_id, webhook_id, event, payload, state) values (${id}, ${ada.clientId}, ${webhook}, 'run.finished', '{}', 'sent')`,
    )
    return id
  }
  const forget = (id: string) => app.services.db.execute(sql`delete from webhook_deliveries where id = ${id}`).then(() => ({ status: 204 }))
  let guests = 0
  const address = () => `guest-${guests++}@example.com`
  all.push(
    {
      what: 'invitations',
      path: `${ofClient}/invitations`,
      as: ada,
      make: () => made(ada, `${ofClient}/invitations`, { email: address(), role: 'viewer' }),
      remove: remover(ada, `${ofClient}/invitations/`),
    },
    {
      what: 'machine keys',
      path: `${ofClient}/machine-keys`,
      as: ada,
      make: () => made(ada, `${ofClient}/machine-keys`, { name: 'm', scopes: ['chat'] }),
      remove: remover(ada, `${ofClient}/machine-keys/`),
    },
    {
      what: 'webhooks',
      path: `${ofClient}/webhooks`,
      as: ada,
      make: () => made(ada, `${ofClient}/webhooks`, hook),
      remove: remover(ada, `${ofClient}/webhooks/`),
    },
    { what: 'deliveries of a webhook', path: `${ofClient}/webhooks/${webhook}/deliveries`, as: ada, make: delivery, remove: forget },
  )
  lists = Object.fromEntries(all.map((list) => [list.what, list]))
})
afterAll(() => app.close())

const WHAT = [
  'folders',
  'contacts',
  'agents by name',
  'agents, the last name first',
  'agents by age',
  'agents, the newest first',
  'agents of a folder',
  'provider keys by provider',
  'MCP servers',
  'tools',
  'sessions of a client',
  'sessions of an agent',
  'clients',
  'invitations',
  'machine keys',
  'deliveries of a webhook',
  'webhooks',
] as const

const linkOf = (headers: Headers, rel: string) => new RegExp(`<([^>]+)>; rel="${rel}"`).exec(headers.get('link') ?? '')?.[1]
const withLimit = (path: string, limit: number) => `${path}${path.includes('?') ? '&' : '?'}limit=${limit}`
const read = ({ as, headers }: List, path: string) => as.call('GET', path, undefined, headers)
const idsOf = (body: { id: string }[]) => body.map(({ id }) => id)
/** Some of one moment, so that the id has to decide; but the folder that another list is about is younger, and not the one that is deleted. */
const sameMoment = () =>
  app.services.db.execute(sql`
    with folder as (update agent_folders set created_at = '2026-01-02 03:04:05.678901Z' where name <> 'full'), contact as (update contacts set created_at = '2026-01-02 03:04:05.678901Z'),
      server as (update mcp_servers set created_at = '2026-01-02 03:04:05.678901Z'), tool as (update tools set created_at = '2026-01-02 03:04:05.678901Z'),
      agent as (update agents set created_at = '2026-01-02 03:04:05.678901Z') update sessions set updated_at = '2026-01-02 03:04:05.678901Z'`)

describe.each(WHAT)('%s', (what) => {
  test('are read page by page, each once, while what was read is deleted and new ones are made', async () => {
    const list = lists[what] as List
    for (let number = 0; number < 4; number++) await list.make(number)
    await sameMoment()
    for (let number = 4; number < MADE; number++) await list.make(number)
    const whole = await read(list, withLimit(list.path, 1000))
    const seen: string[] = []
    let path: string | undefined = withLimit(list.path, 2)
    for (let page = 0; path !== undefined; page++) {
      const answer = await read(list, path)
      expect([answer.status, page < 20]).toEqual([200, true])
      const ids = idsOf(answer.body)
      seen.push(...ids)
      path = linkOf(answer.headers, 'next')
      if (path !== undefined) expect(path).toContain('cursor=')
      if (page === 0) await list.make(MADE)
      // The one at which the cursor stands.
      const last = ids.at(-1) ?? ''
      if (page === 1) expect(await list.remove(last)).toMatchObject({ status: 204 })
    }
    expect(new Set(seen).size).toBe(seen.length)
    const before = idsOf(whole.body)
    expect(seen.filter((id) => before.includes(id))).toEqual(before)
  })

  test('take skip as before, and a cursor of theirs only', async () => {
    const list = lists[what] as List
    const whole = idsOf((await read(list, withLimit(list.path, 1000))).body)
    const second = await read(list, `${withLimit(list.path, 2)}&skip=2`)
    expect(idsOf(second.body)).toEqual(whole.slice(2, 4))
    expect(linkOf(second.headers, 'prev')).toContain('skip=0')
    const next = linkOf(second.headers, 'next') ?? ''
    const third = await read(list, next)
    expect([idsOf(third.body), third.headers.get('x-total-count')]).toEqual([whole.slice(4, 6), String(whole.length)])
    expect(linkOf(third.headers, 'first')).not.toContain('cursor')
    const cursor = new URL(next, app.url).searchParams.get('cursor') ?? ''
    const others = Object.values(lists).filter(({ path, as }) => path !== list.path && as === list.as)
    const refused = [
      ...[
        'nonsense',

        forged(cursor, { at: '2026-02-31T00:00:00.000000Z' }),
        forged(cursor, { at: 'a\0' }),
        forged(cursor, { id: '\ud800' }),
      ].map((bad) => [list, bad] as const),
      ...others.map((other) => [other, cursor] as const),
    ]
    for (const [at, bad] of refused) {
      const answer = await read(at, `${withLimit(at.path, 2)}&cursor=${bad}`)
      expect([at.what, answer.status, answer.body.errors?.[0]?.pointer]).toEqual([at.what, 422, '/query/cursor'])
    }
  })
})

/** Of a list ordered by text any text is a position; this one is none of a moment, and no text that can be stored. */
function forged(cursor: string, change: { at?: string; id?: string }): string {
  const [list, at, id] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as string[]
  const by = /^\d{4}-/.test(at ?? '') || change.at?.includes('\0') ? change.at : undefined
  return Buffer.from(JSON.stringify([list, by ?? at, change.id ?? (by === undefined ? 'no\0id' : id)])).toString('base64url')
}

test("another client's cursor is refused where the path is the same, and so is that of another order", async () => {
  const { ada, bob, admin } = app
  const headers = { 'x-client-id': ada.clientId }
  const page = await ada.call('GET', '/api/v1/agents/?limit=2', undefined, headers)
  const cursor = new URL(linkOf(page.headers, 'next') ?? '', app.url).searchParams.get('cursor')
  for (const [person, query, clientId] of [
    [bob, '', bob.clientId],
    [admin, '', bob.clientId],
    [ada, '&sort_direction=desc', ada.clientId],
    [ada, '&sort_by=created_at', ada.clientId],
  ] as const) {
    const answer = await person.call('GET', `/api/v1/agents/?limit=2${query}&cursor=${cursor}`, undefined, { 'x-client-id': clientId })
    expect([answer.status, answer.body.errors?.[0]?.pointer]).toEqual([422, '/query/cursor'])
  }
  expect((await admin.call('GET', `/api/v1/agents/?limit=2&cursor=${cursor}`, undefined, headers)).status).toBe(200)
})

test('members of a client and platform admins are read by cursor too', async () => {
  for (let n = 0; n < 3; n++) {
    await app.join(`member-${n}@example.com`, app.ada.clientId, 'viewer')
    await app.join(`admin-${n}@example.com`, '', 'viewer')
  }
  for (const path of [`/api/v1/clients/${app.ada.clientId}/members`, '/api/v1/admin/users']) {
    const whole = idsOf((await app.admin.call('GET', path)).body)
    const seen: string[] = []
    for (let next: string | undefined = `${path}?limit=1`; next !== undefined && seen.length <= whole.length; ) {
      const answer = await app.admin.call('GET', next)
      seen.push(...idsOf(answer.body))
      next = linkOf(answer.headers, 'next')
    }
    expect([whole.length, seen]).toEqual([4, whole])
  }
})

test('a list is counted up to a bound, and beyond it has no total, but goes on all the same', async () => {
  const { db } = app.services
  const rows = (many: number) => sql`select from generate_series(1, ${many}::int4)`
  expect(await countSome(db, rows(MOST_COUNTED))).toBe(MOST_COUNTED)
  expect(await countSome(db, rows(MOST_COUNTED + 1))).toBeUndefined()
  const page = { skip: 0, limit: 1 }
  const last = { at: '2026-01-01T00:00:00.000000Z', id: crypto.randomUUID() }
  const headers = pageHeaders(new Request('http://localhost/list?limit=1'), page, undefined, last)
  expect(headers).toEqual({ link: expect.stringMatching(/^<\/list\?limit=1&cursor=\S+>; rel="next"$/) })
  expect(pageHeaders(new Request('http://localhost/list?limit=1'), page, undefined, undefined)).toEqual({})
})
