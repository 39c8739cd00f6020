import { afterAll, beforeAll, expect, test } from 'bun:test'
import { connect } from 'node:net'
import { createConfig, lintFromString } from '@redocly/openapi-core'
import Ajv2020 from 'ajv/dist/2020'
import addFormats from 'ajv-formats'
import { listRoutes } from '~/platform/http/routes'
import { answerCheckOf } from '../support/documented-answers'
import { startApp, type TestApp } from '../support/start-app'

/** Routes that are for browsers and developers, not for clients of the API. */
const HIDDEN = [
  'GET /openapi.json',
  'GET /docs',
  'GET /redoc',
  'GET /docs/assets/:file',
  'GET /dev/mailbox/',
  'GET /dev/mailbox/:id/body',
  'GET /dev/mailbox/previews',
  'GET /dev/mailbox/previews/:template/:locale',
]

/** Where we know better than the recommended rules. */
const NOT_OUR_RULES = {
  'info-license': 'off', // The licence of the API is its operator's to give.
  'no-server-example.com': 'off', // API_URL is localhost here.
  'no-path-trailing-slash': 'off', // The reference's lists have one; both spellings answer.
  'no-ambiguous-paths': 'off', // /sessions/client/{id} stands beside /sessions/{id}/messages in the reference.
  'operation-4xx-response': 'off', // `GET /livez` takes nothing that could be wrong.
} as const

let app: TestApp
// biome-ignore lint/suspicious/noExplicitAny: a document of every shape
let document: any
beforeAll(async () => {
  app = await startApp({ API_URL: 'https://api.evo.test', API_TITLE: 'Title & Co <b>', API_VERSION: '9.8.7' })
  document = (await app.stranger('GET', '/openapi.json')).body
})
afterAll(() => app.close())

interface Documented {
  name: string
  method: string
  path: string
  // biome-ignore lint/suspicious/noExplicitAny: as above
  operation: any
  handler: string
  /** What would follow from its path or security and is not given: a list of nothing is no 404. */
  never: string[]
}

const documented = (): Documented[] =>
  app.app.routes.flatMap(({ method, path, handler, hooks }) => {
    const never = (hooks.detail?.['x-never'] ?? []).map(String)
    const operation = document.paths[path.replaceAll(/:([^/]+)/g, '{$1}')]?.[method.toLowerCase()]
    return operation === undefined ? [] : [{ name: `${method} ${path}`, method, path, operation, handler: String(handler), never }]
  })

// biome-ignore lint/suspicious/noExplicitAny: a node of any shape
function* nodes(value: any, at = ''): Generator<[at: string, node: any]> {
  if (typeof value !== 'object' || value === null) return
  yield [at, value]
  for (const [key, inner] of Object.entries(value)) yield* nodes(inner, `${at}/${key}`)
}

test('the document is valid OpenAPI 3.1 and keeps the recommended rules', async () => {
  const config = await createConfig({ extends: ['recommended'], rules: NOT_OUR_RULES })
  const faults = await lintFromString({ source: JSON.stringify(document), absoluteRef: '/openapi.json', config })
  expect(faults.map(({ ruleId, message, location }) => `${ruleId} ${location[0]?.pointer} ${message}`)).toEqual([])
  // openapi-zod-client and whatever else reads with swagger-parser 10 knows no later ones.
  expect(document.openapi).toBe('3.1.0')
})

test('title, version and address are the settings of this server', () => {
  expect(document.info).toMatchObject({ title: 'Title & Co <b>', version: '9.8.7' })
  expect(document.servers).toEqual([{ url: 'https://api.evo.test' }])
})

test('every route is documented or hidden on purpose', () => {
  const names = new Set(documented().map(({ name }) => name))
  const left = listRoutes(app.app).map(({ method, path }) => `${method} ${path}`)
  expect(left.filter((name) => !names.has(name)).sort()).toEqual([...HIDDEN].sort())
})

test('every operation has its own id, a summary and a chapter that is described', () => {
  const operations = documented().map(({ operation }) => operation)
  const ids = operations.map(({ operationId }) => operationId)
  expect(new Set(ids).size).toBe(ids.length)
  expect(ids.filter((id) => !/^[a-z]+[A-Za-z0-9]+$/.test(id))).toEqual([])
  const chapters = document.tags.map(({ name }: { name: string }) => name)
  expect(operations.filter(({ summary, tags }) => !summary || !chapters.includes(tags?.[0])).map(({ operationId }) => operationId)).toEqual(
    [],
  )
})

test('defect 74: the document asks for credentials exactly where a stranger is refused', async () => {
  for (const { name, method, path, operation } of documented()) {
    const isPublic = operation.security?.length === 0
    const { status } = await app.stranger(method, path.replaceAll(/:\w+/g, 'x'), method === 'GET' || method === 'DELETE' ? undefined : {})
    expect(`${name} ${status === 401}`).toBe(`${name} ${!isPublic}`)
    expect(`${name} ${isPublic || '401' in operation.responses}`).toBe(`${name} true`)
  }
})

test('headers that a route reads by itself are documented, and no others', () => {
  const has = (reference: string) => (one: Documented) =>
    one.operation.parameters?.some(({ $ref }: { $ref?: string }) => $ref === `#/components/parameters/${reference}`) === true
  const names = (fits: (one: Documented) => boolean) =>
    documented()
      .filter(fits)
      .map(({ name }) => name)
  expect(names(has('IdempotencyKey'))).toEqual(names(({ handler }) => handler.includes('idempotent(')))
  expect(names(has('IdempotencyKey'))).not.toEqual([])
  expect(names(has('LastEventId'))).toEqual(names(({ handler }) => handler.includes('lastEventId(')))
  expect(names(has('LastEventId'))).toEqual(['GET /api/v1/runs/:run_id/events'])
  expect(names(has('A2AVersion'))).toEqual(names(({ handler }) => handler.includes('versionOf(')))
  expect(names(has('A2AVersion'))).toEqual(['POST /api/v1/a2a/:agent_id'])
})

test('a browser may send every header that the document names', async () => {
  const preflight = await fetch(`${app.url}/api/v1/agents/`, {
    method: 'OPTIONS',
    headers: { origin: 'https://api.evo.test', 'access-control-request-method': 'POST' },
  })
  // The browser asks for no leave to send Accept-Language.
  const allowed = ['accept-language', ...(preflight.headers.get('access-control-allow-headers')?.split(', ') ?? [])]
  const named = [...nodes(document)].flatMap(([, node]) => (node.in === 'header' ? [node.name.toLowerCase()] : []))
  expect(named).toContain('a2a-version')
  expect(named.filter((name) => !allowed.includes(name))).toEqual([])
})

test('every request body has an example, which its schema takes', () => {
  const ajv = addFormats(new Ajv2020({ strict: false })).addSchema(document, 'document')
  const at = (pointer: string) => pointer.split('/').reduce((node, key) => node[key], document)
  const bodies = documented().filter(({ operation: { requestBody } }) => requestBody !== undefined)
  for (const { name, operation } of bodies) {
    const { schema } = operation.requestBody.content['application/json']
    const { examples, description } = schema.$ref ? at(schema.$ref.slice(2)) : schema
    if (description === 'Not read.') continue
    const [example] = examples ?? []
    // What the schema refers to is found in the whole document.
    const takes = ajv.compile({ ...JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"document#/')) })
    expect(`${name} ${example !== undefined && takes(example)} ${ajv.errorsText(takes.errors)}`).toBe(`${name} true No errors`)
  }
})

test('a body that may be left out says so, and is checked where it is sent', async () => {
  const names = documented().flatMap(({ name, operation }) => (operation.requestBody?.required === false ? [name] : []))
  expect(names).toEqual([
    'POST /api/v1/clients/:client_id/machine-keys/:machine_key_id/rotate',
    'POST /api/v1/clients/:client_id/impersonate',
    'POST /api/v1/agents/:agent_id/share',
    'PUT /api/v1/agents/:agent_id/folder',
  ])
  const { call, clientId } = app.ada
  const keys = `/api/v1/clients/${clientId}/machine-keys`
  const { id } = (await call('POST', keys, { name: 'a program', scopes: ['agents:read'] })).body
  for (const [caller, path] of [
    [call, `${keys}/${id}/rotate`],
    [app.admin.call, `/api/v1/clients/${clientId}/impersonate`],
  ] as const) {
    for (const body of [undefined, {}]) expect((await caller('POST', path, body)).status).toBe(200)
    for (const body of [[], 'text', 7, { unknown: 1 }, { overlap_seconds: '1', reason: 1 }])
      expect((await caller('POST', path, body)).body).toMatchObject({ status: 422, type: expect.stringContaining('validation-failed') })
  }
})

test('a body that is not read may be anything, and a request of JSON-RPC has its types', async () => {
  const schemaOf = (path: string) => document.paths[path].post.requestBody.content['application/json'].schema
  expect(schemaOf('/api/v1/agents/{agent_id}/share')).toEqual({ description: 'Not read.' })
  const { call, clientId } = app.ada
  const agent = await call('POST', '/api/v1/agents/', { client_id: clientId, name: 'shared', type: 'llm', model: 'demo/echo', config: {} })
  for (const body of [undefined, {}, [], 'text'])
    expect((await call('POST', `/api/v1/agents/${agent.body.id}/share`, body, { 'x-client-id': clientId })).status).toBe(200)

  expect(document.components.schemas.A2aRequest.properties).toMatchObject({
    jsonrpc: { type: 'string', const: '2.0' },
    id: { type: ['string', 'integer', 'null'] },
    method: { type: 'string' },
    params: { type: 'object' },
  })
})

test('the examples of the main job work as they stand, once they name the own client', async () => {
  const exampleOf = (path: string) => document.paths[path].post.requestBody.content['application/json'].schema.examples[0]
  const { call, clientId } = app.ada
  const agent = await call('POST', '/api/v1/agents/', { ...exampleOf('/api/v1/agents/'), client_id: clientId })
  expect(agent.status).toBe(201)
  const chat = await call('POST', `/api/v1/chat/${agent.body.id}/visitor-1`, exampleOf('/api/v1/chat/{agent_id}/{external_id}'))
  expect([chat.status, chat.body.response]).toEqual([200, 'Echo: What is new?'])
  const catalogued = await app.admin.call('POST', '/api/v1/mcp-servers/', exampleOf('/api/v1/mcp-servers/'))
  expect(catalogued.status).toBe(201)
})

test('every list that is read page by page says how many items there are and where it goes on', () => {
  // A history, which is counted from its end.
  const HISTORY = 'GET /api/v1/sessions/:session_id/messages'
  const isPaged = ({ name, operation }: Documented) =>
    name !== HISTORY && operation.parameters?.some((parameter: { name?: string }) => parameter.name === 'skip')
  const lists = documented().filter(isPaged)
  const told = lists.map(({ name, operation }) => `${name} ${Object.keys(operation.responses['200'].headers ?? {}).toSorted()}`)
  expect(told).toEqual(lists.map(({ name }) => `${name} Link,X-Total-Count`))
  expect(lists.length).toBeGreaterThan(15)
})

test('every operation says what it answers: a schema, or nothing with 204', () => {
  for (const { name, operation, handler } of documented()) {
    const [[status, success] = ['none', undefined]] = Object.entries<{ content?: Record<string, { schema: object }> }>(
      operation.responses,
    ).filter(([code]) => code[0] === '2')
    if ('101' in operation.responses) expect(`${name} ${handler.includes('.upgrade(')}`).toBe(`${name} true`)
    else if (status === '204') expect(`${name} ${handler.includes('204')}`).toBe(`${name} true`)
    else {
      const schemas = Object.values(success?.content ?? {}).map(({ schema }) => schema)
      expect(`${name} ${schemas.length > 0 && schemas.every((schema) => Object.keys(schema).length > 0)}`).toBe(`${name} true`)
    }
  }
})

test('the check that all tests hold their answers against refuses what the document does not say', () => {
  const check = answerCheckOf(document)
  const health = { status: 200, mediaType: 'application/json' }
  expect(() => check('GET', '/api/v1/health', { ...health, body: { what: 'ever' } })).toThrow('not as the API document says')
  expect(() => check('GET', '/api/v1/health', { ...health, status: 204, body: '' })).toThrow('does not know')
  expect(() => check('GET', '/api/v1/health', { ...health, mediaType: 'text/html', body: '<p>' })).toThrow('as text/html')
  expect(() => check('GET', '/no/route', { ...health, body: {} })).not.toThrow()
})

test('every operation names its problems by one schema', () => {
  for (const { name, operation, path, method, never } of documented()) {
    const wanted = [
      'default',
      ...(path.includes(':') ? ['404', '422'] : []),
      ...(operation.requestBody ? ['400', '413', '415', '422', '429'] : []),
    ]
    const missing = wanted.filter((status) => !(status in operation.responses) && !never.includes(status))
    expect(`${method} ${missing} ${name}`).toBe(`${method}  ${name}`)
    expect(never.filter((status) => status in operation.responses)).toEqual([])
  }
  for (const response of Object.values<{ content: Record<string, { schema: object }> }>(document.components.responses))
    expect(Object.entries(response.content).map(([type, { schema }]) => [type, schema])).toEqual([
      ['application/problem+json', { $ref: '#/components/schemas/Problem' }],
    ])
})

test('streams, numbers of a query and server-owned fields are shown as what they are', () => {
  const { paths } = document
  expect(Object.keys(paths['/api/v1/runs/{run_id}/events'].get.responses[200].content)).toEqual(['text/event-stream'])
  expect(Object.keys(paths['/api/v1/chat/{agent_id}/{external_id}'].post.responses[200].content)).toContain('text/event-stream')
  const list = paths['/api/v1/agents/'].get
  expect(list.parameters).toContainEqual(
    expect.objectContaining({ name: 'limit', in: 'query', schema: { type: 'integer', minimum: 1, maximum: 1000, default: 100 } }),
  )
  expect(list.parameters).toContainEqual(expect.objectContaining({ name: 'x-client-id', in: 'header', required: true }))
  const change = paths['/api/v1/agents/{agent_id}'].put.requestBody.content
  expect(Object.keys(change)).toEqual(['application/json'])
  expect(change['application/json'].schema).toMatchObject({ properties: { id: { readOnly: true } }, additionalProperties: false })
})

test('an import is a form with a file, or JSON with a list, and says so', async () => {
  const { content } = document.paths['/api/v1/agents/import'].post.requestBody
  const shapes = Object.entries<{ schema: { properties: object; required: string[] } }>(content).map(([type, { schema }]) => [
    type,
    Object.keys(schema.properties),
    schema.required,
  ])
  expect(shapes).toEqual([
    ['multipart/form-data', ['file', 'folder_id'], ['file']],
    ['application/json', ['agents', 'folder_id'], ['agents']],
  ])
  const { call, clientId } = app.ada
  const byJson = (body: object) => call('POST', '/api/v1/agents/import', body, { 'x-client-id': clientId })
  expect((await byJson({ folder_id: null })).body.errors).toEqual([expect.objectContaining({ pointer: '/file', code: 'required' })])
  expect((await byJson({ agents: [], file: 'a text' })).status).toBe(422)
})

test('a text may have as many characters as the document says, of whatever kind, and no more', async () => {
  const { call, clientId } = app.ada
  const bodies: [path: string, body: Record<string, unknown>, field: string][] = [
    ['/api/v1/agents/folders/', { client_id: clientId, name: 'Sales' }, 'name'],
    ['/api/v1/agents/folders/', { client_id: clientId, name: 'Sales' }, 'description'],
    ['/api/v1/agents/', { client_id: clientId, name: 'emoji', type: 'llm', model: 'demo/echo' }, 'goal'],
    ['/api/v1/agents/apikeys/', { client_id: clientId, name: 'ours', provider: 'openai', key_value: 'sk-1' }, 'name'],
    ['/api/v1/contacts/', { client_id: clientId }, 'name'],
  ]
  for (const [path, body, field] of bodies) {
    const { maxLength } = document.paths[path].post.requestBody.content['application/json'].schema.properties[field]
    const longest = await call('POST', path, { ...body, [field]: '🙂'.repeat(maxLength) })
    expect([path, field, longest.status, longest.body[field]]).toEqual([path, field, 201, '🙂'.repeat(maxLength)])
    const longer = await call('POST', path, { ...body, [field]: '🙂'.repeat(maxLength + 1) })
    expect([path, longer.status, longer.body.errors]).toEqual([
      path,
      422,
      [{ pointer: `/${field}`, code: 'length', message: expect.stringMatching(new RegExp(`length of .*${maxLength} characters`)) }],
    ])
  }
  const noText = await call('POST', '/api/v1/agents/folders/', { client_id: clientId, name: 7, description: 7 })
  expect(noText.body.errors).toEqual([
    { pointer: '/name', code: 'invalid', message: 'Expected string' },
    { pointer: '/description', code: 'invalid', message: 'Expected string' },
  ])
})

test('what is not there may be named, or meant, by more than the path, which the document tells', async () => {
  const { call, clientId } = app.ada
  const absent = crypto.randomUUID()
  const named: Record<string, object> = {
    '/api/v1/auth/mfa/totp/confirm': { code: '123456' },
    '/api/v1/agents/validate': { client_id: clientId, id: absent },
    '/api/v1/agents/import': { agents: [], folder_id: absent },
  }
  for (const [path, body] of Object.entries(named)) {
    const { status } = await call('POST', path, body, { 'x-client-id': clientId })
    expect(`${path} ${status} ${'404' in document.paths[path].post.responses}`).toBe(`${path} 404 true`)
  }
})

test('a model stands once, and no keyword of ours is left', () => {
  expect(Object.keys(document.components.schemas)).toEqual(expect.arrayContaining(['Agent', 'Problem', 'Run', 'User']))
  const faults: string[] = []
  for (const [at, node] of nodes(document)) {
    const isSchema = !/\/(properties|example)$/.test(at)
    if (typeof node.title === 'string' && isSchema && at !== '/info' && !/^\/components\/schemas\/[^/]+$/.test(at))
      faults.push(`${at} title`)
    if (isSchema && (typeof node.error === 'string' || 'x-integer' in node || 'nullable' in node)) faults.push(`${at} keyword`)
    if (Array.isArray(node.anyOf) && node.anyOf.filter((member: object) => 'const' in member).length > 1) faults.push(`${at} consts`)
    if (Array.isArray(node.type) && node.type.includes('null') && node.enum !== undefined && !node.enum.includes(null))
      faults.push(`${at} null`)
  }
  expect(faults).toEqual([])
})

test('the document tells nothing of this machine', () => {
  const text = JSON.stringify(document)
  const secrets = [
    process.env.DATABASE_URL,
    process.env.REDIS_URL,
    'Zk3v9q0Yx7Lr2Wn8Tb5Hc1Md6Pf4Gs0Ja',
    import.meta.dir.replace(/\/tests.*/, ''),
  ]
  expect(secrets.filter((secret) => secret === undefined || text.includes(secret))).toEqual([])
  expect(text).not.toMatch(/\/dev\/|node_modules|localhost|127\.0\.0\.1/)
})

test('the page is ours alone: no other host, no inline script, a policy that forbids both', async () => {
  const page = await app.stranger('GET', '/docs')
  expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
  const policy = page.headers.get('content-security-policy') ?? ''
  expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'")
  expect(policy).not.toMatch(/unsafe|https?:/)
  expect(page.body).toContain('<title>Title &amp; Co &lt;b&gt;</title>')
  expect(page.body).not.toMatch(/https?:|\/\/[a-z]|<script>|<style|style=|onload=/)
  for (const file of ['docs.js', 'docs.css']) expect((await app.stranger('GET', `/docs/assets/${file}`)).body).not.toMatch(/https?:\/\//)
})

test('/docs/ is /docs, and /redoc leads there', async () => {
  expect((await app.stranger('GET', '/docs/')).body).toBe((await app.stranger('GET', '/docs')).body)
  const redoc = await app.stranger('GET', '/redoc')
  expect([redoc.status, redoc.headers.get('location')]).toEqual([307, '/docs'])
})

test('each file of the page has its type, and is not sent twice', async () => {
  const page = String((await app.stranger('GET', '/docs')).body)
  const named = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = '']) => path)
  const types = { js: 'text/javascript; charset=utf-8', css: 'text/css; charset=utf-8', png: 'image/png', json: 'application/json' }
  expect(named).toHaveLength(6)
  for (const path of named) {
    const first = await app.stranger('GET', path)
    const etag = first.headers.get('etag') ?? ''
    expect([path, first.status, first.headers.get('content-type')]).toEqual([
      path,
      200,
      types[path.split('.').at(-1) as keyof typeof types],
    ])
    expect(first.headers.get('cache-control')).toMatch(/^(public, max-age=3600|no-cache)$/)
    expect(first.headers.get('x-content-type-options')).toBe('nosniff')
    for (const known of [etag, `"other", W/${etag}`, '*']) {
      const again = await app.stranger('GET', path, undefined, { 'if-none-match': known })
      expect([path, again.status, again.body, again.headers.get('etag')]).toEqual([path, 304, '', etag])
    }
    expect((await app.stranger('GET', path, undefined, { 'if-none-match': '"other"' })).status).toBe(200)
  }
})

test('no other file can be had by that way', async () => {
  const paths = [
    'swagger-ui.js',
    'package.json',
    '__proto__',
    'toString',
    '..%2fdocs.ts',
    '..%2f..%2f..%2f..%2fpackage.json',
    '%2e%2e/docs.ts',
    'docs.js%00',
  ]
  for (const path of ['../../package.json', '../docs.ts', ...paths]) {
    const status = await rawStatus(`/docs/assets/${path}`)
    expect(`${path} ${status}`).toMatch(/ 4(04|22)$/)
  }
})

/** `fetch` would resolve `..` before it asks. */
const rawStatus = (path: string) =>
  new Promise<string>((resolve, reject) => {
    const { hostname, port, host } = new URL(app.url)
    const socket = connect(Number(port), hostname, () => socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`))
    socket.once('data', (data) => resolve(data.toString('latin1').split(' ')[1] ?? ''))
    socket.once('error', reject)
  })
