import { expect } from 'bun:test'
import { PASSWORD, type TestApp } from '../../support/start-app'
import { all, outcomeOf, outcomes, type Row } from './row'

const AGENTS = '/api/v1/agents/'
const KEYS = '/api/v1/agents/apikeys/'

type Body = Record<string, unknown>

/** A good body for every route that takes one, with the fields that are texts. */
const forms = ({ ada }: TestApp, ids: { agent: string; key: string }): Record<string, { method: string; path: string; body: Body }> => ({
  register: { method: 'POST', path: '/api/v1/auth/register', body: { email: 'new@example.com', password: PASSWORD, name: 'New Ltd' } },
  login: { method: 'POST', path: '/api/v1/auth/login', body: { email: ada.email, password: PASSWORD } },
  'forgot password': { method: 'POST', path: '/api/v1/auth/forgot-password', body: { email: 'nobody@example.com' } },
  'resend verification': { method: 'POST', path: '/api/v1/auth/resend-verification', body: { email: 'nobody@example.com' } },
  'verify email': { method: 'POST', path: '/api/v1/auth/verify-email', body: { token: 'a'.repeat(32) } },
  'reset password': { method: 'POST', path: '/api/v1/auth/reset-password', body: { token: 'a'.repeat(32), new_password: PASSWORD } },
  'change password': {
    method: 'POST',
    path: '/api/v1/auth/change-password',
    body: { current_password: 'not my password', new_password: 'another good phrase' },
  },
  'new agent': {
    method: 'POST',
    path: AGENTS,
    body: {
      client_id: ada.clientId,
      name: 'scout',
      type: 'llm',
      model: 'demo/echo',
      description: 'd',
      role: 'r',
      goal: 'g',
      instruction: 'i',
      config: {},
    },
  },
  'changed agent': {
    method: 'PUT',
    path: AGENTS + ids.agent,
    body: { name: 'scout', description: 'd', instruction: 'i', model: 'demo/echo' },
  },
  'new key': { method: 'POST', path: KEYS, body: { client_id: ada.clientId, name: 'n', provider: 'openai', key_value: 'sk-0123456789' } },
  'changed key': { method: 'PUT', path: KEYS + ids.key, body: { name: 'n', provider: 'openai', key_value: 'sk-0123456789' } },
  chat: { method: 'POST', path: `/api/v1/chat/${ids.agent}/somebody`, body: { message: 'hello' } },
  reconcile: { method: 'POST', path: `/api/v1/runs/${crypto.randomUUID()}/reconcile`, body: { step: 'model:1', decision: 'retry' } },
})

async function prepare(app: TestApp) {
  const { call, clientId } = app.ada
  const client = { 'x-client-id': clientId }
  const agent = await call('POST', AGENTS, { client_id: clientId, name: 'scout', type: 'llm', model: 'demo/echo', config: {} })
  const key = await call('POST', KEYS, { client_id: clientId, name: 'mine', provider: 'openai', key_value: 'sk-abcdefgh12345678' })
  const routes = forms(app, { agent: agent.body.id, key: key.body.id })
  const send = async ({ method, path }: { method: string; path: string }, body: unknown) => call(method, path, body, client)
  return { agent: agent.body, key: key.body, client, routes, send }
}

const refusal = async (reply: ReturnType<TestApp['stranger']>) => {
  const got = await reply
  const pointers = got.body?.errors?.map((error: { pointer: string }) => error.pointer).join(' ')
  return `${outcomeOf(got)} ${pointers}`
}

export const values: Row[] = [
  {
    id: 'HTTP-07',
    guarantee: 'NUL, other control characters and lone surrogates are refused in every text field, in queries and in paths',
    async check(app) {
      const { agent, client, routes, send } = await prepare(app)
      for (const [label, route] of Object.entries(routes)) {
        const texts = Object.keys(route.body).filter((name) => typeof route.body[name] === 'string')
        for (const bad of ['\u0000', '\u0001', '\u001b', '\u007f', '\u0085', '\ud800', '\udc00']) {
          const inputs = Object.fromEntries(texts.map((name) => [name, { ...route.body, [name]: `${route.body[name]}${bad}` }]))
          const expected = Object.fromEntries(texts.map((name) => [name, `422 validation-failed /${name}`]))
          expect({ label, ...(await outcomes(inputs, (body) => refusal(send(route, body)))) }).toEqual({ label, ...expected })
        }
      }
      const draft = routes['new agent']?.body
      const inside = { value: { 'x y': ['\u0000'] }, name: { '\u0000': 1 } }
      const create = (config: unknown) => refusal(send({ method: 'POST', path: AGENTS }, { ...draft, config }))
      expect(await outcomes(inside, create)).toEqual({
        value: '422 validation-failed /config/x y/0',
        name: '422 validation-failed /config',
      })
      const get = async (path: string) => outcomeOf(await app.ada.call('GET', path, undefined, client))
      const paths = {
        'agent id': `${AGENTS}%00`,
        'session id': '/api/v1/sessions/a%00_b',
        'problem name': '/problems/%00',
        'no such path': '/%00',
        'query value': `${AGENTS}?folder_id=%00`,
        'query name': `${AGENTS}?%00=1`,
        'query name that nobody reads': '/livez?%00=1',
        'audit filter': '/api/v1/admin/audit-logs?action=%00',
        'line break': '/api/v1/admin/audit-logs?action=a%0d%0ab',
      }
      expect(await outcomes(paths, get)).toEqual(all(paths, '422 validation-failed'))
      const broken = { 'lone surrogate': `${AGENTS}?sort_by=%ed%a0%80`, 'half a byte': `${AGENTS}%e2%82`, 'no hex': '/livez?a=%zz' }
      expect(await outcomes(broken, get)).toEqual(all(broken, '400 malformed-request'))
      // What may stand in a text does.
      const text = { ...draft, description: 'tab\tline\nline\r\n\u{1f600} \u00a0' }
      expect(await app.ada.call('PUT', AGENTS + agent.id, { description: text.description })).toMatchObject({
        status: 200,
        body: { description: text.description },
      })
    },
  },
  {
    id: 'HTTP-08',
    guarantee: 'names that reach an object’s prototype are refused at every depth, and nothing is polluted',
    async check(app) {
      const { client, routes } = await prepare(app)
      const draft = JSON.stringify(routes['new agent']?.body).replace('"config":{}', '"config":CONFIG').replace('"scout"', '"polluter"')
      const evil = '{"is_admin":true}'
      const bodies = {
        'top level': draft.replace('CONFIG', `{},"__proto__":${evil}`),
        'spelt with escapes': draft.replace('CONFIG', `{},"\\u005f_proto_\\u005f":${evil}`),
        'inside config': draft.replace('CONFIG', `{"__proto__":${evil}}`),
        'deep in config': draft.replace('CONFIG', `{"a":[{"b":{"__proto__":${evil}}}]}`),
        'by the constructor': draft.replace('CONFIG', `{},"constructor":{"prototype":${evil}}`),
        'by the constructor, inside config': draft.replace('CONFIG', `{"constructor":{"prototype":${evil}}}`),
        'a text in its place': draft.replace('CONFIG', '{"__proto__":"x"}'),
      }
      const post = async (body: string) => {
        const headers = { 'content-type': 'application/json', authorization: `Bearer ${app.ada.token}` }
        const response = await fetch(app.url + AGENTS, { method: 'POST', headers, body })
        return outcomeOf({ status: response.status, headers: response.headers, body: await response.text() })
      }
      expect(await outcomes(bodies, post)).toEqual(all(bodies, '422 validation-failed'))
      expect(({} as Body).is_admin).toBeUndefined()
      expect(Object.keys(Object.prototype)).toEqual([])
      const list = await app.ada.call('GET', `${AGENTS}?limit=1000`, undefined, client)
      expect(list.body.filter(({ name }: { name: string }) => name === 'polluter')).toEqual([])
      expect(await outcomeOf(await app.ada.call('GET', `${AGENTS}?__proto__=1&constructor=1`, undefined, client))).toBe(
        '422 validation-failed',
      )
      const harmless = await app.ada.call('POST', AGENTS, { ...routes['new agent']?.body, config: { constructor: 'Ada' } })
      expect(harmless.status).toBe(201)
    },
  },
  {
    id: 'HTTP-09',
    guarantee: 'an unknown or read-only property is refused by name, and the row stays as it was',
    async check(app) {
      const { agent, key, client, routes, send } = await prepare(app)
      const forbidden = ['is_admin', 'email_verified', 'is_active', 'client_id', 'id', 'password_hash', 'created_at', 'some/odd~name']
      // The web frontend sends these back as it read them: accepted and without effect.
      const readOnly: Record<string, string[]> = {
        'new agent': ['client_id'],
        'new key': ['client_id'],
        'changed agent': ['client_id', 'id', 'created_at'],
        'changed key': ['is_active'],
      }
      for (const [label, route] of Object.entries(routes)) {
        const names = forbidden.filter((name) => !readOnly[label]?.includes(name))
        const inputs = Object.fromEntries(names.map((name) => [name, { ...route.body, [name]: true }]))
        const expected = Object.fromEntries(
          names.map((name) => [name, `422 validation-failed /${name.replaceAll('~', '~0').replaceAll('/', '~1')}`]),
        )
        expect({ label, ...(await outcomes(inputs, (body) => refusal(send(route, body)))) }).toEqual({ label, ...expected })
      }
      const read = async (path: string) => (await app.ada.call('GET', path, undefined, client)).body
      expect(await read(AGENTS + agent.id)).toEqual(agent)
      expect(await read(KEYS + key.id)).toEqual(key)
      const echoed = { id: crypto.randomUUID(), created_at: '2001-01-01T00:00:00Z', updated_at: null }
      expect((await app.ada.call('PUT', AGENTS + agent.id, { ...agent, ...echoed })).status).toBe(200)
      expect((await app.ada.call('PUT', AGENTS + agent.id, { ...agent, client_id: app.bob.clientId })).status).toBe(403)
      const { updated_at: _, ...after } = await read(AGENTS + agent.id)
      const { updated_at: __, ...before } = agent
      expect(after).toEqual(before)
      expect((await app.bob.call('GET', AGENTS + agent.id)).status).toBe(404)
    },
  },
  {
    id: 'HTTP-10',
    guarantee: 'numbers in queries are plain decimal digits in range, given once',
    async check(app) {
      const { client } = await prepare(app)
      const lists = [AGENTS, KEYS, `/api/v1/sessions/client/${app.ada.clientId}`, '/api/v1/admin/audit-logs']
      const queries = [
        ...[
          '0x10',
          '1e2',
          '%205',
          '5%20',
          '+5',
          '5.5',
          '5.0',
          'NaN',
          'Infinity',
          '',
          '-1',
          '0',
          '00',
          '05',
          '1001',
          '99999999999999999999',
          '1,2',
          '%D9%A5',
        ],
      ].map((value) => `limit=${value}`)
      queries.push(
        'limit',
        'limit=5&limit=7',
        'limit=5&limit=5',
        'limit=5&%6cimit=7',
        'skip=-1',
        'skip=1e3',
        'skip=9999999999',
        'limit[]=5',
        'unknown=1',
      )
      const inputs = Object.fromEntries(queries.map((query) => [query, query]))
      for (const path of lists) {
        const get = async (query: string) => outcomeOf(await app.admin.call('GET', `${path}?${query}`, undefined, client))
        expect({ path, ...(await outcomes(inputs, get)) }).toEqual({ path, ...all(inputs, '422 validation-failed') })
        const good = { least: 'limit=1', most: 'limit=1000', escaped: 'limit=%35', 'with skip': 'skip=0&limit=10' }
        expect({ path, ...(await outcomes(good, get)) }).toEqual({ path, ...all(good, '200 body') })
      }
      const { body } = await app.admin.call('GET', `${AGENTS}?limit=1001`, undefined, client)
      expect(body.errors).toEqual([{ pointer: '/query/limit', code: 'invalid', message: 'Must be a whole number from 1 to 1000' }])
    },
  },
  {
    id: 'HTTP-12',
    guarantee: 'a refusal repeats nothing of what was sent, neither to the caller nor in the log',
    async check(app) {
      const { client, routes } = await prepare(app)
      const canary = 'canary-7f3e91c2'
      const wrongs: Record<string, unknown> = {
        'a text': canary,
        'a long text': canary.repeat(20_000),
        'a list': [canary, { a: canary }],
        'an object': { value: canary, password: canary },
        'a number in a text': `${canary} 1e9`,
      }
      for (const call of [app.stranger, app.ada.call]) {
        for (const { method, path, body } of Object.values(routes)) {
          const bodies: unknown[] = [canary, [canary], { ...body, [Object.keys(body)[0] ?? '']: null, surplus: canary }]
          for (const name of Object.keys(body)) for (const wrong of Object.values(wrongs)) bodies.push({ [name]: wrong })
          for (const sent of bodies) {
            const reply = await call(method, path, sent, client)
            if (reply.status < 300) continue
            expect(reply.status).toBeWithin(400, 430)
            const shown = JSON.stringify([reply.body, ...reply.headers])
            expect(shown.includes(canary) ? `${method} ${path}: ${shown}` : 'silent').toBe('silent')
          }
        }
      }
      for (const path of [
        `${AGENTS}?limit=${canary}`,
        `${AGENTS}?sort_by=${canary}`,
        `${AGENTS}?folder_id=${canary}`,
        `/livez?access_token=${canary}`,
      ])
        expect(JSON.stringify((await app.ada.call('GET', path, undefined, client)).body)).not.toContain(canary)
      for (const header of ['x-client-id', 'idempotency-key'])
        expect(JSON.stringify((await app.ada.call('POST', AGENTS, {}, { [header]: `${canary} é` })).body)).not.toContain(canary)
      // The token of a mail's link stands in the path, which a problem names as its instance.
      const link = await app.stranger('GET', `/api/v1/auth/verify-email/${canary}`)
      expect(outcomeOf(link)).toBe('400 invalid-one-time-token')
      expect(JSON.stringify(link.body)).not.toContain(canary)
      const short = await app.stranger('POST', '/api/v1/auth/register', { email: 'no email', password: canary.slice(0, 7), name: 'x' })
      expect(Object.keys(short.body).sort()).toEqual(['detail', 'errors', 'instance', 'message', 'status', 'title', 'trace_id', 'type'])
      for (const error of short.body.errors) expect(Object.keys(error).sort()).toEqual(['code', 'message', 'pointer'])
      expect(app.logged()).not.toContain(canary)
    },
    timeoutMs: 30_000,
  },
]
