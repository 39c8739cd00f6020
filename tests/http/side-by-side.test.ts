import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { eq, sql } from 'drizzle-orm'
import postgres from 'postgres'
import { reserve } from '~/features/runs/queries/budgets'
import { type OwnedRun, owned } from '~/features/runs/queries/owned'
import { runs } from '~/features/runs/table'
import { silentLog } from '~/platform/log'
import { migrate } from '../../db/migrate'
import { startSideBySide } from '../support/side-by-side'
import { PASSWORD, startApp, type TestApp } from '../support/start-app'
import { until } from '../support/until'

setDefaultTimeout(30_000)

const { databaseUrl, isPossible, stop } = await startSideBySide('whether limits hold for parallel requests')

let app: TestApp
let locker: postgres.Sql
let agent: { id: string; config: { api_key: string } }
let taskId: string
beforeAll(async () => {
  await migrate({ url: databaseUrl, log: silentLog })
  app = await startApp({ DATABASE_URL: databaseUrl, OUTBOUND_ALLOW: '127.0.0.1' })
  locker = postgres(databaseUrl, { max: 2, onnotice: () => {} })
  const { call, clientId } = app.ada
  agent = (await call('POST', '/api/v1/agents/', { client_id: clientId, name: 'echo', type: 'llm', model: 'demo/echo', config: {} })).body
  const message = { kind: 'message', role: 'user', messageId: 'm1', parts: [{ kind: 'text', text: 'hello' }] }
  taskId = (await rpc('message/send', { message })).body.result.id
})
afterAll(async () => {
  await app.close()
  await locker.end()
  await stop()
})

const rpc = (method: string, params: object) =>
  app.stranger(
    'POST',
    `/api/v1/a2a/${agent.id}`,
    { jsonrpc: '2.0', id: 1, method, params },
    { 'x-api-key': agent.config.api_key, 'a2a-version': '0.3' },
  )

const TOGETHER = 4

interface Limit {
  of: string
  table: string
  most: number
  /** All but one of them. */
  fill(): Promise<unknown>
  add(name: string): Promise<{ status: number }>
}

const LIMITS: Limit[] = [
  {
    of: 'webhooks of a client',
    table: 'webhooks',
    most: 20,
    fill: () =>
      locker`insert into webhooks (id, client_id, url, events, sealed_secret)
        select gen_random_uuid(), ${app.ada.clientId}, 'http://127.0.0.1:9/', '{run.finished}', 's' from generate_series(1, 19)`,
    add: () =>
      app.ada.call('POST', `/api/v1/clients/${app.ada.clientId}/webhooks/`, { url: 'http://127.0.0.1/hook', events: ['run.finished'] }),
  },
  {
    of: 'machine keys of a client',
    table: 'machine_keys',
    most: 100,
    fill: () =>
      locker`insert into machine_keys (id, client_id, name, scopes, key_hash, last_four)
        select gen_random_uuid(), ${app.ada.clientId}, 'k', '{chat}', decode(md5(n::text), 'hex'), '0000' from generate_series(1, 99) n`,
    add: (name) => app.ada.call('POST', `/api/v1/clients/${app.ada.clientId}/machine-keys/`, { name, scopes: ['chat'] }),
  },
  {
    of: 'open invitations of a client',
    table: 'invitations',
    most: 100,
    fill: () =>
      locker`insert into invitations (id, client_id, email, role, token_hash, expires_at)
        select gen_random_uuid(), ${app.ada.clientId}, n || '@people.example', 'viewer', decode(md5(n::text), 'hex'), now() + interval '1 day'
        from generate_series(1, 99) n`,
    add: (name) =>
      app.ada.call('POST', `/api/v1/clients/${app.ada.clientId}/invitations/`, { email: `${name}@people.example`, role: 'viewer' }),
  },
  {
    of: 'push notification configs of a task',
    table: 'a2a_push_configs',
    most: 10,
    fill: () =>
      locker`insert into a2a_push_configs (run_id, id, client_id, dialect, sealed)
        select ${taskId}, n::text, ${app.ada.clientId}, '0.3', 's' from generate_series(1, 9) n`,
    async add(name) {
      const pushNotificationConfig = { id: name, url: 'http://127.0.0.1/hook' }
      const { body } = await rpc('tasks/pushNotificationConfig/set', { taskId, pushNotificationConfig })
      return { status: body.error === undefined ? 201 : body.error.code }
    },
  },
]

const countWaiting = async () => {
  const [row] = await locker`select count(distinct pid)::int as waiting from pg_locks join pg_stat_activity using (pid)
    where not granted and datname = current_database()`
  return row?.waiting ?? 0
}

/** Begins all of it while nobody may write to the table, and lets them go on once each of them waits. */
async function besideEachOther<T>(table: string, begin: () => Promise<T>[]): Promise<T[]> {
  let begun: Promise<T>[] = []
  await locker.begin(async (tx) => {
    // Reading goes on, writing waits: so all of them have looked before one of them has written, if nothing else keeps them apart.
    await tx`lock table ${tx(table)} in share mode`
    begun = begin()
    await until(async () => (await countWaiting()) === begun.length)
  })
  return Promise.all(begun)
}

for (const { of, table, most, fill, add } of LIMITS)
  test.skipIf(!isPossible)(`of parallel requests as many succeed as there is room: ${of}`, async () => {
    await fill()
    const replies = await besideEachOther(table, () => Array.from({ length: TOGETHER }, (_, index) => add(`new-${index}`)))
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(1)
    const [row] = await app.services.db.execute<{ count: number }>(sql`select count(*)::int as count from ${sql.identifier(table)}`)
    expect(row?.count).toBe(most)
  })

test.skipIf(!isPossible)('of two owners who demote or remove each other at the same time one is left', async () => {
  const second = await app.join('second-owner@example.com', app.bob.clientId, 'owner')
  const member = (userId: string) => `/api/v1/clients/${app.bob.clientId}/members/${userId}`
  const replies = await besideEachOther('users', () => [
    second.call('PUT', member(app.bob.userId), { role: 'viewer' }),
    app.bob.call('DELETE', member(second.userId)),
  ])
  expect(replies.filter(({ status }) => status === 409)).toHaveLength(1)
})

test.skipIf(!isPossible)('of two agents that are made to call each other at the same time one is refused', async () => {
  const make = async (name: string): Promise<string> =>
    (await app.ada.call('POST', '/api/v1/agents/', { client_id: app.ada.clientId, name, type: 'llm', model: 'demo/echo', config: {} })).body
      .id
  const [one, other] = [await make('one'), await make('other')]
  const callFrom = (id: string, to: string) => app.ada.call('PUT', `/api/v1/agents/${id}`, { config: { agent_tools: [to] } })
  const replies = await besideEachOther('agents', () => [callFrom(one, other), callFrom(other, one)])
  expect(replies.map(({ status }) => status).toSorted()).toEqual([200, 422])
})

test.skipIf(!isPossible)('of calls that ask a budget for its last dollar at the same time one gets it', async () => {
  const { clientId } = app.ada
  await app.ada.call('PUT', `/api/v1/budgets/${clientId}/agent/${agent.id}`, { limit_usd: 1 })
  await locker`update runs set status = 'running', finished_at = null, lease_owner = 'another', lease_until = now() + interval '1 hour'
    where id = ${taskId}`
  const [row] = await app.services.db.select(owned).from(runs).where(eq(runs.id, taskId))
  const run = { ...row, past: 'whole' } as OwnedRun
  let asked: ReturnType<typeof reserve>[] = []
  await locker.begin(async (tx) => {
    await tx`select from budgets where scope_id = ${agent.id} for update`
    asked = ['one', 'other', 'third'].map((stepKey) => reserve(app.services.db, run, { stepKey, amountNanos: 1e9 }))
    await until(async () => (await countWaiting()) === asked.length)
  })
  const answers = await Promise.all(asked)
  expect(answers.map(({ verdict }) => verdict).toSorted()).toEqual(['refused', 'refused', 'reserved'])
})

test.skipIf(!isPossible)('of sign-ins that ask for a code at the same time the last one alone goes on', async () => {
  const person = await app.join('two-steps@example.com', app.ada.clientId, 'member')
  await locker`insert into second_factors (user_id, sealed_secret, confirmed_at) values (${person.userId}, '-', now())`
  const signIn = () => app.stranger('POST', '/api/v1/auth/login', { email: person.email, password: PASSWORD })
  const replies = await besideEachOther('one_time_tokens', () => [signIn(), signIn()])
  expect(replies.map(({ body }) => typeof body.mfa_token)).toEqual(['string', 'string'])
  const left = await locker`select id from one_time_tokens where user_id = ${person.userId} and used_at is null`
  expect(left).toHaveLength(1)
})

test.skipIf(!isPossible)(
  'an agent is changed while another that it names is deleted, and neither waits for what the other has',
  async () => {
    const make = async (name: string, config: object): Promise<string> =>
      (await app.ada.call('POST', '/api/v1/agents/', { client_id: app.ada.clientId, name, type: 'llm', model: 'demo/echo', config })).body
        .id
    const named = await make('named', {})
    const naming = await make('naming', { agent_tools: [named] })
    const deadlocks = async () => {
      const [row] = await locker`select deadlocks::int from pg_stat_database where datname = current_database()`
      return row?.deadlocks ?? 0
    }
    const before = await deadlocks()
    const replies: Promise<{ status: number }>[] = []
    await locker.begin(async (tx) => {
      await tx`select pg_advisory_xact_lock(hashtext('agent references'), hashtext(${app.ada.clientId}))`
      replies.push(app.ada.call('DELETE', `/api/v1/agents/${named}`))
      await until(async () => (await countWaiting()) === 1)
      replies.push(app.ada.call('PUT', `/api/v1/agents/${naming}`, { description: 'changed' }))
      await until(async () => (await countWaiting()) === 2)
    })
    expect((await Promise.all(replies)).map(({ status }) => status)).toEqual([204, 200])
    const { body } = await app.ada.call('GET', `/api/v1/agents/${naming}`)
    expect(body).toMatchObject({ description: 'changed', config: { agent_tools: [] } })
    await Bun.sleep(1200)
    expect(await deadlocks()).toBe(before)
  },
)
