import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Caller } from '../support/start-app'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp()
})
afterAll(() => app.close())

const PRIVATE = 'http://10.0.0.1/'
const tool = { name: 't', method: 'GET', endpoint: PRIVATE, description: 'd', headers: {}, values: {}, parameters: {}, error_handling: {} }
/** `localhost` is found out only when it is looked up, which no check before the call does. */
const CARD = 'http://localhost/.well-known/agent.json'

async function refused(call: Caller, path: string, body: object) {
  const { status, body: problem } = await call('POST', `/api/v1${path}`, body)
  return [
    status,
    problem.type.split('/problems/')[1],
    ...(problem.errors ?? []).map(({ pointer, code }: Record<string, string>) => [pointer, code]),
  ]
}
const at = (pointer: string) => [422, 'url-not-allowed', [pointer, 'url-not-allowed']]

test('an address that is refused is named by the field that it came in', async () => {
  const { call, clientId } = app.ada
  const agent = (more: object) => refused(call, '/agents/', { client_id: clientId, name: 'a', type: 'llm', model: 'demo/echo', ...more })
  expect(await agent({ config: { custom_mcp_servers: [{ url: PRIVATE }] } })).toEqual(at('/config/custom_mcp_servers/0/url'))
  expect(await agent({ config: { custom_tools: { http_tools: [tool] } } })).toEqual(at('/config/custom_tools/http_tools/0/endpoint'))
  expect(await agent({ type: 'a2a', agent_card_url: CARD })).toEqual(at('/agent_card_url'))
  expect(await refused(call, `/clients/${clientId}/webhooks`, { url: PRIVATE, events: ['run.finished'] })).toEqual(at('/url'))
})

test('so it is in the catalogues', async () => {
  const { call } = app.admin
  const server = { name: 'm', config_type: 'sse', tools: [], environments: {} }
  expect(await refused(call, '/mcp-servers/', { ...server, config_json: { url: PRIVATE } })).toEqual(at('/config_json/url'))
  // Without tools the server is asked for them.
  const { tools: _, ...asked } = server
  expect(await refused(call, '/mcp-servers/', { ...asked, config_json: { url: 'http://localhost/' } })).toEqual(at('/config_json/url'))
  expect(await refused(call, '/tools/', { name: 't', config_json: tool, environments: {} })).toEqual(at('/config_json/endpoint'))
})
