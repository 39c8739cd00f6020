import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp()
})
afterAll(() => app.close())

const command = (args: string[], more: object = {}) => ({ name: 'Search', config_json: { command: 'npx', args, ...more }, tools: [] })
const PINNED = ['-y', 'some-server@1.2.3']
const create = (body: object) => app.admin.call('POST', '/api/v1/mcp-servers/', body)
const refused = async (body: object) => {
  const { status, body: problem } = await create(body)
  return `${status} ${problem.errors?.[0]?.pointer}`
}

describe('MCP servers', () => {
  test('defect 3: an admin makes an entry, replaces it with what was read, and removes it', async () => {
    const { status, body } = await create({
      ...command(PINNED, { env: { KEY: 'env@@KEY' } }),
      description: 'Finds things',
      environments: { KEY: 'env@@KEY' },
      tools: [{ id: 'find', name: 'find', description: 'Finds', tags: [], examples: [], inputModes: [], outputModes: [] }],
    })
    expect([status, body.config_type, body.type, body.trusted, body.tools.length]).toEqual([201, 'studio', 'official', false, 1])
    const path = `/api/v1/mcp-servers/${body.id}`
    expect((await app.ada.call('GET', path)).body).toEqual(body)
    const replaced = await app.admin.call('PUT', path, { ...body, name: 'Better' })
    expect(replaced).toMatchObject({ status: 200, body: { id: body.id, name: 'Better', tools: body.tools, config_json: body.config_json } })
    const list = await app.ada.call('GET', '/api/v1/mcp-servers/?skip=0&limit=100')
    expect([list.body.length, list.headers.get('x-total-count')]).toEqual([1, '1'])
    expect((await app.admin.call('DELETE', path)).status).toBe(204)
    expect((await app.ada.call('GET', path)).body.detail).toBe('MCP server not found')
    expect((await app.admin.call('PUT', path, command(PINNED))).status).toBe(404)
  })

  test('MCP-02: no shell, no command that the operator has not listed', async () => {
    for (const name of ['sh', 'bash', '/bin/sh', 'node', 'python', 'docker'])
      expect(await refused({ name: 'x', config_json: { command: name, args: ['-c', 'id'] }, tools: [] })).toBe('422 /config_json/command')
    expect(await refused({ name: 'x', config_json: { command: 'npx', args: '-y some-server@1.2.3' }, tools: [] })).toBe(
      '422 /config_json/args',
    )
  })

  test('MCP-03, defect 55: packages are pinned, and no argument runs something else', async () => {
    expect(await refused(command(['--yes', 'some-server@latest']))).toBe('422 /config_json/args/1')
    expect(await refused(command(['-y', 'some-server']))).toBe('422 /config_json/args/1')
    expect(await refused(command([...PINNED, '--require', './x']))).toBe('422 /config_json/args/2')
    expect(await refused(command(['-y', 'git+https://example.com/x.git']))).toStartWith('422 /config_json/args/')
  })

  test('MCP-04: variables that decide what is executed are refused', async () => {
    for (const name of ['LD_PRELOAD', 'NODE_OPTIONS', 'BUN_OPTIONS', 'PATH', 'PYTHONSTARTUP'])
      expect(await refused(command(PINNED, { env: { [name]: 'x' } }))).toBe(`422 /config_json/env/${name}`)
  })

  test('a remote server has an address that may be called and headers that may be sent', async () => {
    const remote = (config_json: object) => create({ name: 'r', config_type: 'sse', config_json, tools: [] })
    expect((await remote({ url: 'https://mcp.example.com/sse', headers: { authorization: 'Bearer x' } })).status).toBe(201)
    expect((await remote({ url: 'http://10.0.0.1/sse' })).body.type).toEndWith('/url-not-allowed')
    expect((await remote({ url: 'https://mcp.example.com/sse', headers: { host: 'x' } })).body.type).toEndWith('/validation-failed')
    expect((await remote({ url: 'https://mcp.example.com/sse', headers: { list: [1] } })).status).toBe(422)
    for (const config_json of [{}, { headers: {} }, { url: null }])
      expect(await refused({ name: 'r', config_type: 'sse', config_json, tools: [] })).toBe('422 /config_json/url')
  })

  test('MCP-11, defect 33: whoever is no admin sees names and placeholders, but no values', async () => {
    const secret = 'tok-of-the-platform'
    const remote = { url: `https://mcp.example.com/sse?key=${secret}`, headers: { authorization: secret, 'x-own': 'env@@OWN' } }
    const made = [
      (await create({ name: 'r', config_json: remote, tools: [] })).body,
      (await create(command(PINNED, { env: { TOKEN: secret, OWN: 'env@@OWN' } }))).body,
    ]
    const seen = await app.ada.call('GET', '/api/v1/mcp-servers/')
    expect(JSON.stringify(seen.body)).not.toContain(secret)
    expect((await app.ada.call('GET', `/api/v1/mcp-servers/${made[0].id}`)).body.config_json).toEqual({
      url: 'https://mcp.example.com/sse',
      headers: { authorization: '***', 'x-own': 'env@@OWN' },
    })
    expect((await app.ada.call('GET', `/api/v1/mcp-servers/${made[1].id}`)).body.config_json.env).toEqual({ TOKEN: '***', OWN: 'env@@OWN' })
    expect((await app.admin.call('GET', `/api/v1/mcp-servers/${made[0].id}`)).body.config_json).toEqual({
      url: 'https://mcp.example.com/sse?__secret__:form',
      headers: { authorization: '__secret__:form', 'x-own': 'env@@OWN' },
    })
  })

  test('without tools the server is asked for them, and nothing is kept of one that does not answer', async () => {
    const before = (await app.admin.call('GET', '/api/v1/mcp-servers/')).headers.get('x-total-count')
    const { tools: _, ...body } = { ...command(PINNED), config_json: { url: 'https://nowhere.invalid/mcp' } }
    expect([502, 504, 422]).toContain((await create(body)).status)
    expect((await app.admin.call('GET', '/api/v1/mcp-servers/')).headers.get('x-total-count')).toBe(before)
  })
})

describe('tools', () => {
  const spec = {
    method: 'POST',
    endpoint: 'https://api.example.com/{path}',
    headers: { authorization: 'Bearer env@@TOKEN', 'x-static': 's3cret' },
  }
  const tool = { name: 'Call', config_json: spec, environments: { TOKEN: 'env@@TOKEN' } }

  test('a tool is made, read, replaced with what was read, and removed', async () => {
    const { status, body } = await app.admin.call('POST', '/api/v1/tools/', tool)
    const masked = { authorization: '__secret__:OKEN', 'x-static': '__secret__:' }
    expect([status, body.config_json]).toEqual([201, { ...spec, headers: masked }])
    const path = `/api/v1/tools/${body.id}`
    expect((await app.admin.call('PUT', path, { ...body, description: 'd' })).body).toMatchObject({ id: body.id, description: 'd' })
    const seen = (await app.ada.call('GET', path)).body
    expect(seen.config_json.headers).toEqual({ authorization: '***', 'x-static': '***' })
    expect((await app.ada.call('GET', '/api/v1/tools/?limit=10')).body).toHaveLength(1)
    expect((await app.admin.call('DELETE', path)).status).toBe(204)
    expect((await app.ada.call('GET', path)).body.detail).toBe('Tool not found')
  })

  test('what would not be callable is refused when it is saved', async () => {
    const saved = async (config_json: object) => (await app.admin.call('POST', '/api/v1/tools/', { ...tool, config_json })).body.type
    expect(await saved({ ...spec, endpoint: 'file:///etc/hostname' })).toEndWith('/url-not-allowed')
    expect(await saved({ ...spec, method: 7 })).toEndWith('/validation-failed')
    expect(await saved({ ...spec, headers: { 'content-length': '1' } })).toEndWith('/validation-failed')
    const pointerOf = async (body: object) => (await app.admin.call('POST', '/api/v1/tools/', body)).body.errors[0].pointer
    const tooLong = 'x'.repeat(129)
    expect(await pointerOf({ ...tool, name: tooLong })).toBe('/name') // which an HTTP tool that has no other is called by
    expect(await pointerOf({ ...tool, config_json: { ...spec, name: tooLong } })).toBe('/config_json/name')
  })
})
