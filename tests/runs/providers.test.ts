import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readEvents, shownText } from '../support/events'
import { answers, type Providers, prompts, startProviders } from '../support/providers'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
let providers: Providers
let tool: ReturnType<typeof Bun.serve>
let asked: string[] = []

beforeAll(async () => {
  providers = await startProviders()
  tool = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request) {
      asked.push(new URL(request.url).search)
      return Response.json({ sky: 'sunny' })
    },
  })
  app = await startApp({
    OPENAI_BASE_URL: providers.openaiBaseUrl,
    ANTHROPIC_BASE_URL: providers.anthropicBaseUrl,
    GEMINI_BASE_URL: providers.geminiBaseUrl,
    OPENAI_COMPATIBLE_BASE_URL: providers.openaiBaseUrl,
    OUTBOUND_ALLOW: `127.0.0.1:${tool.port}`,
  })
})
afterAll(async () => {
  await app.close()
  await providers.stop()
  await tool.stop(true)
})

/** As a tenant does it: stores the provider's key, then names it in an agent with a tool. */
async function agentFor(model: string, keyValue: string) {
  const { call, clientId } = app.ada
  const [provider] = model.split('/')
  const key = await call('POST', '/api/v1/agents/apikeys', { client_id: clientId, name: 'test', provider, key_value: keyValue })
  expect(key).toMatchObject({ status: 201, body: { last_four: keyValue.slice(-4) } })
  const http_tools = [
    {
      name: 'get_weather',
      method: 'GET',
      endpoint: `http://127.0.0.1:${tool.port}/weather`,
      description: 'The weather of a city',
      parameters: { query_params: { city: '' } },
      error_handling: { timeout: 5, retry_count: 0, fallback_response: {} },
    },
  ]
  const agent = await call('POST', '/api/v1/agents/', {
    client_id: clientId,
    name: 'weather',
    type: 'llm',
    model,
    api_key_id: key.body.id,
    config: { custom_tools: { http_tools } },
  })
  expect(agent.status).toBe(201)
  return String(agent.body.id)
}

const MODELS = ['openai/gpt-4o', 'anthropic/claude-sonnet-4', 'gemini/gemini-2.5-flash', 'openai-compatible/any']

for (const model of MODELS) {
  test(`${model}: an answer streams in pieces, with a tool call between`, async () => {
    asked = []
    const id = await agentFor(model, providers.key)
    const response = await fetch(`${app.url}/api/v1/chat/${id}/tour?stream=true`, {
      method: 'POST',
      headers: { authorization: `Bearer ${app.ada.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ message: prompts.weather }),
    })
    const events = await readEvents(response)
    expect(events.at(-1)).toMatchObject({ type: 'run-finished', data: { response: answers.weather } })
    expect(shownText(events)).toBe(answers.weather)
    expect(asked).toEqual(['?city=Rome'])
    const kinds = events
      .filter(({ type }) => type === 'message')
      .map(({ data }) => Object.keys(data.content.parts[0]).find((key) => data.content.parts[0][key] !== null))
    expect(kinds).toEqual(['function_call', 'function_response', 'text'])
    // The provider's own state is for the provider.
    expect(JSON.stringify(events)).not.toContain('provider_state')

    const next = await app.ada.call('POST', `/api/v1/chat/${id}/tour`, { message: prompts.hello })
    expect(next).toMatchObject({ status: 200, body: { response: answers.hello } })
  })

  test(`${model}: a refused key is a failed run and no 401, and appears nowhere`, async () => {
    const id = await agentFor(model, 'sk-wrong-key-0123456789')
    const failed = await app.ada.call('POST', `/api/v1/chat/${id}/tour`, { message: prompts.hello })
    expect(failed.status).toBe(502)
    expect(failed.body.type).toEndWith('/upstream-error')
    expect(JSON.stringify(failed.body)).not.toContain('wrong-key')
    expect(app.logged()).not.toContain('sk-wrong-key-0123456789')
    expect(app.logged()).not.toContain(providers.key)
  })
}

test('a stream that a provider cuts off fails the run after the pieces that came', async () => {
  const id = await agentFor('openai/gpt-4o', providers.key)
  const response = await fetch(`${app.url}/api/v1/chat/${id}/cut?stream=true`, {
    method: 'POST',
    headers: { authorization: `Bearer ${app.ada.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ message: prompts.cut }),
  })
  const events = await readEvents(response)
  expect(events.at(-1)).toMatchObject({ type: 'run-failed', data: { problem: 'upstream-error' } })
})

test('F-35: when a provider wants a pause, the client is told how long', async () => {
  const id = await agentFor('openai/gpt-4o', providers.key)
  const message = prompts.limitedForLong
  for (const route of [`/api/v1/chat/${id}/limited`, `/api/v1/agents/${id}/runs`]) {
    const { status, headers } = await app.ada.call('POST', route, { message })
    expect({ route, status, retryAfter: headers.get('retry-after') }).toEqual({ route, status: 429, retryAfter: '60' })
  }
  const [run] = (await app.ada.call('GET', `/api/v1/runs/?agent_id=${id}`)).body
  expect(run.error).toMatchObject({ problem: 'rate-limited', retry_after_seconds: 60 })
})

test('a key that was switched off stops the agent with a reason', async () => {
  const id = await agentFor('openai/gpt-4o', providers.key)
  const agent = await app.ada.call('GET', `/api/v1/agents/${id}`)
  const removed = await app.ada.call('DELETE', `/api/v1/agents/apikeys/${agent.body.api_key_id}`, undefined, {
    'x-client-id': app.ada.clientId,
  })
  expect(removed.status).toBe(204)
  expect((await app.ada.call('POST', `/api/v1/chat/${id}/off`, { message: prompts.hello })).body.detail).toBe(
    'The API key of this agent is inactive.',
  )
})
