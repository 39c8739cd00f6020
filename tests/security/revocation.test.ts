import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { createTokens } from '~/platform/tokens'
import { PASSWORD, type TestApp } from '../support/start-app'
import { startTwoProcesses, type TwoProcesses } from '../support/two-processes'

let both: TwoProcesses
let here: TestApp
let url: string
beforeAll(async () => {
  both = await startTwoProcesses('revocation')
  here = both.here
  url = both.url
}, 60_000)
afterAll(() => both.close())

const ask = async (at: string, method: string, path: string, token: string, headers: Record<string, string> = {}) => {
  const response = await fetch(at + path, { method, headers: { authorization: `Bearer ${token}`, ...headers } })
  await response.bytes()
  return response.status
}
const meThere = (token: string) => ask(url, 'POST', '/api/v1/auth/me', token)
/** Good there, and by the second answer remembered: a process keeps what it read once it knows since when it is true. */
const isKnownThere = async (token: string) => (await meThere(token)) === 200 && (await meThere(token)) === 200
const signIn = async (email: string): Promise<string> =>
  (await here.stranger('POST', '/api/v1/auth/login', { email, password: PASSWORD })).body.access_token

test('JWT-11: a token that was revoked on one process is refused by another with the next request, 1,000 times out of 1,000', async () => {
  const sessions = await here.services.db.execute<{ user_id: string; session_id: string }>(
    sql`with people as (
          insert into users (client_id, email, password_hash, role, is_active, email_verified)
          select ${here.ada.clientId}::uuid, 'revoked-' || n || '@example.com', '', 'member', true, true from generate_series(1, 250) n returning id
        )
        insert into auth_sessions (id, user_id, address, expires_at)
        select gen_random_uuid(), id, '-', now() + interval '1 hour' from people, generate_series(1, 4)
        returning user_id, id as session_id`,
  )
  const { jwtSecret = '', issuer, audience } = here.config.access
  const tokens = createTokens({ secrets: [jwtSecret], issuer, audience, lifetimeSeconds: 600 })
  const { clientId } = here.ada
  const found = { good: 0, signedOut: 0, refused: 0 }
  const waiting = [...sessions]
  const revokeOneAfterTheOther = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { user_id: userId, session_id: sessionId } = next
      const token = await tokens.issue({ userId, sessionId, tokenId: crypto.randomUUID(), isAdmin: false, clientId })
      if (await isKnownThere(token)) found.good++
      if ((await ask(here.url, 'POST', '/api/v1/auth/logout', token)) === 204) found.signedOut++
      if ((await meThere(token)) === 401) found.refused++
    }
  }
  await Promise.all(Array.from({ length: 8 }, revokeOneAfterTheOther))
  expect(found).toEqual({ good: 1000, signedOut: 1000, refused: 1000 })
}, 60_000)

test('JWT-10: who is switched off, demoted or deleted has no right left in the next request, on another process too', async () => {
  for (let round = 0; round < 10; round++) {
    const member = await here.join(`gone-${round}@example.com`, here.ada.clientId, 'owner')
    const seeInvitations = () => ask(url, 'GET', `/api/v1/clients/${here.ada.clientId}/invitations`, member.token)
    expect([await seeInvitations(), await seeInvitations()]).toEqual([200, 200])
    await here.admin.call('PUT', `/api/v1/clients/${here.ada.clientId}/members/${member.userId}`, { role: 'viewer' })
    expect([round, await seeInvitations()]).toEqual([round, 403])
    expect(await isKnownThere(member.token)).toBe(true)
    await here.admin.call('DELETE', `/api/v1/admin/users/${member.userId}`)
    expect([round, await meThere(member.token)]).toEqual([round, 401])
  }
  const owner = await here.signIn('whole-client@example.com', 'Brief Ltd')
  expect(await isKnownThere(owner.token)).toBe(true)
  expect((await here.admin.call('DELETE', `/api/v1/clients/${owner.clientId}`)).status).toBe(204)
  expect(await meThere(owner.token)).toBe(401)
})

test('PWD-16, defect 76: a changed password ends the other sign-ins in the next request, on another process too, and their refresh tokens', async () => {
  const person = await here.signIn('changes@example.com', 'Changers')
  const other = (await here.stranger('POST', '/api/v1/auth/login', { email: person.email, password: PASSWORD })).body
  expect(await isKnownThere(other.access_token)).toBe(true)
  const change = { current_password: PASSWORD, new_password: 'quite another phrase' }
  expect((await person.call('POST', '/api/v1/auth/change-password', change)).status).toBe(200)
  expect([await meThere(other.access_token), await meThere(person.token)]).toEqual([401, 200])
  const refresh = await here.stranger('POST', '/api/v1/auth/refresh', { refresh_token: other.refresh_token })
  expect(refresh.status).toBe(401)
})

test('a machine key that was revoked or rotated away is refused in the next request, on another process too', async () => {
  const keys = `/api/v1/clients/${here.ada.clientId}/machine-keys`
  const list = (key: string) => ask(url, 'GET', '/api/v1/agents/', key, { 'x-client-id': here.ada.clientId })
  for (let round = 0; round < 10; round++) {
    const { body } = await here.ada.call('POST', keys, { name: 'brief', scopes: ['agents:read'] })
    expect([await list(body.key), await list(body.key)]).toEqual([200, 200])
    const { body: rotated } = await here.ada.call('POST', `${keys}/${body.id}/rotate`, { overlap_seconds: 0 })
    expect([round, await list(body.key), await list(rotated.key)]).toEqual([round, 401, 200])
    await here.ada.call('DELETE', `${keys}/${body.id}`)
    expect([round, await list(rotated.key)]).toEqual([round, 401])
  }
})

test('F-03, F-04: a Redis that loses the revocation is noticed by the next request', async () => {
  for (let round = 0; round < 10; round++) {
    const token = await signIn(here.bob.email)
    expect(await isKnownThere(token)).toBe(true)
    await ask(here.url, 'POST', '/api/v1/auth/logout', token)
    await here.services.stores.redis.run((client) => client.flushdb())
    expect([round, await meThere(token)]).toEqual([round, 401])
  }
})

test('JWT-14, JWT-16: a token of one process is good on another, and an impersonation that was ended is not', async () => {
  const { body } = await here.admin.call('POST', `/api/v1/clients/${here.bob.clientId}/impersonate`)
  expect(await isKnownThere(body.access_token)).toBe(true)
  const [{ id }] = (await here.admin.call('GET', '/api/v1/admin/impersonations?limit=1')).body
  await here.admin.call('DELETE', `/api/v1/admin/impersonations/${id}`)
  expect(await meThere(body.access_token)).toBe(401)
})

test('defect 60: what one process was given another has: files, memory and push configs', async () => {
  const { call, clientId, token } = here.ada
  const draft = { client_id: clientId, name: 'keeper', type: 'llm', model: 'demo/echo', config: { load_memory: true } }
  const agent = (await call('POST', '/api/v1/agents/', draft)).body
  const note = { filename: 'note.txt', content_type: 'text/plain', data: Buffer.from('written here').toString('base64') }
  await call('POST', `/api/v1/chat/${agent.id}/somebody`, { message: 'My cat is called Findus.', files: [note] })
  const there = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return response.text()
  }
  expect(await there('GET', `/api/v1/sessions/somebody_${agent.id}/artifacts/note.txt`)).toBe('written here')
  const recalled = await there('POST', `/api/v1/chat/${agent.id}/somebody`, { message: '/tool load_memory {"query":"cat"}' })
  expect(recalled).toContain('Findus')

  const rpc = (method: string, params: object) => ({ jsonrpc: '2.0', id: 1, method, params })
  const key = { 'x-api-key': agent.config.api_key }
  const message = { role: 'user', messageId: 'm', parts: [{ type: 'text', text: 'hi' }] }
  const task = (await here.stranger('POST', `/api/v1/a2a/${agent.id}`, rpc('message/send', { message }), key)).body.result
  const config = { taskId: task.id, pushNotificationConfig: { url: 'https://93.184.216.34/push' } }
  const set = await here.stranger('POST', `/api/v1/a2a/${agent.id}`, rpc('tasks/pushNotificationConfig/set', config), key)
  expect(set.body).toMatchObject({ result: { success: true } })
  const response = await fetch(`${url}/api/v1/a2a/${agent.id}`, {
    method: 'POST',
    headers: { ...key, 'content-type': 'application/json' },
    body: JSON.stringify(rpc('tasks/pushNotificationConfig/get', { taskId: task.id })),
  })
  expect(await response.json()).toMatchObject({ result: { pushNotificationConfig: { url: 'https://93.184.216.34/push' } } })
})
