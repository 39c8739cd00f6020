import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createLog } from '~/platform/log'
import { collect, failureOf, fakeTime, requestOf } from '../../../tests/support/model-calls'
import { answers, type Providers, prompts, startProviders, usage } from '../../../tests/support/providers'
import { createModelClient, type ModelClientOptions } from './client'
import type { ModelMessage, ModelReply, ToolDeclaration } from './types'

let providers: Providers
beforeAll(async () => {
  providers = await startProviders()
})
afterAll(() => providers.stop())

const getWeather: ToolDeclaration = {
  name: 'get_weather',
  description: 'The weather of a city.',
  inputSchema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}

function setUp(options: Partial<ModelClientOptions> = {}) {
  const time = fakeTime()
  const lines: string[] = []
  const { openaiBaseUrl, anthropicBaseUrl, geminiBaseUrl } = providers
  const client = createModelClient({
    openaiBaseUrl,
    anthropicBaseUrl,
    geminiBaseUrl,
    compatibleBaseUrl: openaiBaseUrl,
    defaultKeys: {},
    clock: time.clock,
    log: createLog({ level: 'debug', write: (line) => lines.push(line) }),
    random: () => 0,
    ...options,
  })
  return { client, ...time, lines }
}

const ask = (text: string, model: string, more = {}) =>
  requestOf({ model, apiKey: providers.key, messages: [{ role: 'user', parts: [{ type: 'text', text }] }], ...more })

/** What an agent's loop makes of a reply and of the results of its calls. */
const turn = (reply: ModelReply, result: (name: string, args: Record<string, unknown>) => unknown): ModelMessage[] => [
  {
    role: 'assistant',
    parts: [
      ...(reply.text === '' ? [] : [{ type: 'text' as const, text: reply.text }]),
      ...reply.toolCalls.map((call) => ({ type: 'tool-call' as const, ...call })),
    ],
    providerState: reply.providerState,
  },
  {
    role: 'tool',
    parts: reply.toolCalls.map(({ callId, name, args }) => ({ type: 'tool-result', callId, name, result: result(name, args) })),
  },
]

describe.each([
  ['OpenAI', 'openai/gpt-4o'],
  ['Anthropic', 'anthropic/claude-sonnet-4-5'],
  ['Gemini', 'gemini/gemini-2.5-flash'],
  ['an OpenAI-compatible server', 'openai-compatible/llama-3.3-70b'],
])('with %s', (_, model) => {
  const provider = model.split('/')[0]

  test('a text reply arrives in pieces and is their sum, with its token counts', async () => {
    const { client } = setUp()
    const { deltas, reply } = await collect(
      client,
      ask(prompts.hello, model, { system: 'Be kind.', maxOutputTokens: 500, temperature: 0.5 }),
    )
    expect(deltas.length).toBeGreaterThan(3)
    expect(deltas.map(({ text }) => text).join('')).toBe(answers.hello)
    expect(reply).toEqual({
      text: answers.hello,
      toolCalls: [],
      finishReason: 'stop',
      usage: { inputTokens: usage.input, outputTokens: usage.output, cachedInputTokens: 0, reasoningTokens: 0 },
    })
    const seen = providers.requests().at(-1)
    expect(seen?.messages.map(({ role, content }) => [role, content])).toEqual([
      ['system', 'Be kind.'],
      ['user', prompts.hello],
    ])
    expect(seen).toMatchObject({ stream: true, temperature: 0.5 })
  })

  test('tool calls come back as data, and the results are sent with the calls they answer', async () => {
    const { client } = setUp()
    const first = ask(prompts.twoCities, model, { tools: [getWeather] })
    const { deltas, reply } = await collect(client, first)
    expect(deltas).toEqual([])
    expect(reply.finishReason).toBe('tool-calls')
    expect(reply.toolCalls.map(({ name, args }) => [name, args])).toEqual([
      ['get_weather', { city: 'Rome' }],
      ['get_weather', { city: 'Oslo' }],
    ])
    expect(new Set(reply.toolCalls.map(({ callId }) => callId)).size).toBe(2)
    expect(providers.requests().at(-1)?.tools?.[0]).toMatchObject({
      function: { name: 'get_weather', description: 'The weather of a city.' },
    })

    const messages = [...first.messages, ...turn(reply, (_, { city }) => ({ city, sky: 'blue' }))]
    const second = await collect(client, { ...first, messages })
    expect(second.reply.text).toBe(answers.weather)
    const sent = providers.requests().at(-1)?.messages ?? []
    const calls = sent.find(({ role }) => role === 'assistant')?.tool_calls ?? []
    expect(calls.map(({ function: { name, arguments: args } }) => [name, JSON.parse(args)])).toEqual([
      ['get_weather', { city: 'Rome' }],
      ['get_weather', { city: 'Oslo' }],
    ])
    const results = sent.filter(({ role }) => role === 'tool')
    expect(results.map(({ tool_call_id }) => tool_call_id)).toEqual(calls.map(({ id }) => id))
    expect(String(results[1]?.content)).toContain('Oslo')
  })

  test('a refused key is our 502 and not a 401, is not retried, and shows no key', async () => {
    const { client, pauses, lines } = setUp()
    for (const request of [ask(prompts.unauthorized, model), { ...ask(prompts.hello, model), apiKey: 'another-key-77aa' }]) {
      const error = await failureOf(collect(client, request))
      expect(error).toMatchObject({ problem: 'upstream-error', message: 'The model provider refused the API key.' })
      expect(Bun.inspect(error)).not.toContain(request.apiKey)
    }
    expect(pauses).toEqual([])
    expect(lines.join('')).not.toContain(providers.key)
  })

  test('a refused request is told in the words of the provider, without the key', async () => {
    const { client, pauses } = setUp()
    const error = await failureOf(collect(client, ask(prompts.invalid, model)))
    expect(error).toMatchObject({
      problem: 'upstream-error',
      message: `The model provider ${provider} refused the request: It failed with 400, and the key was ***.`,
    })
    expect(Bun.inspect(error)).not.toContain(providers.key)
    expect(pauses).toEqual([])
  })

  test('F-35: a limit is waited out as long as the provider says, and passed on after two retries', async () => {
    const { client, pauses } = setUp()
    expect((await collect(client, ask(prompts.limitedOnce, model))).reply.text).toBe(answers.hello)
    expect(pauses).toEqual([7000])
    const error = await failureOf(collect(client, ask(prompts.limited, model)))
    expect(error).toMatchObject({ problem: 'rate-limited', retryAfterSeconds: 7 })
    expect(pauses).toEqual([7000, 7000, 7000])
  })

  test('F-35: a failing provider is tried three times, ever later', async () => {
    const { client, pauses, lines } = setUp()
    expect((await collect(client, ask(prompts.brokenOnce, model))).reply.text).toBe(answers.hello)
    expect(pauses).toEqual([250])
    for (const [prompt, status] of [
      [prompts.broken, 500],
      [prompts.overloaded, 529],
    ] as const) {
      pauses.length = 0
      const before = providers.requests().length
      const error = await failureOf(collect(client, ask(prompt, model)))
      expect(error).toMatchObject({ problem: 'upstream-error', message: `The model provider ${provider} failed with status ${status}.` })
      expect(Bun.inspect(error)).not.toContain(providers.key)
      expect(providers.requests().length - before).toBe(3)
      expect(pauses).toEqual([250, 500])
    }
    expect(lines.join('')).not.toContain(providers.key)
  })

  test('F-35: a stream cut in the middle fails without a second try', async () => {
    const { client, pauses } = setUp()
    const deltas: string[] = []
    const before = providers.requests().length
    const error = await failureOf(client.generate(ask(prompts.cut, model), ({ text }) => deltas.push(text)))
    expect(error).toMatchObject({ problem: 'upstream-error', message: `The answer of the model provider ${provider} broke off.` })
    expect(answers.hello.startsWith(deltas.join(''))).toBe(true)
    expect(deltas.length).toBeGreaterThan(0)
    expect(providers.requests().length - before).toBe(1)
    expect(pauses).toEqual([])
  })

  test('aborting rejects with the reason at once and ends the deltas', async () => {
    const { client } = setUp()
    const controller = new AbortController()
    const reason = new Error('the user left')
    const deltas: string[] = []
    const run = client.generate(ask(prompts.slow, model, { signal: controller.signal }), ({ text }) => {
      deltas.push(text)
      if (deltas.length === 2) controller.abort(reason)
    })
    expect(await failureOf(run)).toBe(reason)
    await Bun.sleep(300)
    expect(deltas).toHaveLength(2)
  })

  test('F-34: a provider that is silent meets the deadline', async () => {
    const { client, passDeadline } = setUp()
    const run = failureOf(collect(client, ask(prompts.silent, model, { timeoutMs: 60_000 })))
    await Bun.sleep(50)
    passDeadline()
    expect(await run).toMatchObject({ problem: 'upstream-timeout', message: 'The model did not finish within 60 s.' })
  })

  test('a provider that cannot be reached is tried three times', async () => {
    const gone = Bun.serve({ port: 0, fetch: () => new Response() })
    await gone.stop(true)
    const url = `http://127.0.0.1:${gone.port}`
    const { client, pauses } = setUp({ openaiBaseUrl: url, anthropicBaseUrl: url, geminiBaseUrl: url, compatibleBaseUrl: url })
    const error = await failureOf(collect(client, ask(prompts.hello, model)))
    expect(error).toMatchObject({ problem: 'upstream-error', message: `The model provider ${provider} did not answer.` })
    expect(pauses).toEqual([250, 500])
  })
})
