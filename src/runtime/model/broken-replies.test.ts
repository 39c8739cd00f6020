import { afterEach, describe, expect, test } from 'bun:test'
import { systemClock } from '~/platform/clock'
import { silentLog } from '~/platform/log'
import { collect, failureOf, requestOf } from '../../../tests/support/model-calls'
import { anthropic, gemini, getWeather, hello, openai, serveRaw, sse, sseThenSilence } from '../../../tests/support/raw-provider'
import { createModelClient } from './client'

const served: Array<{ stop(): Promise<void> }> = []
afterEach(async () => {
  for (const server of served.splice(0)) await server.stop()
})

function serve(...answers: Array<() => Response>) {
  const provider = serveRaw(...answers)
  served.push(provider)
  return provider
}

describe('a reply is whole or an error', () => {
  test.each([
    ['OpenAI', openai.model, [openai.text('Half an ')]],
    ['Anthropic', anthropic.model, [anthropic.start, ...anthropic.text]],
    ['Gemini', gemini.model, [gemini.parts([{ text: 'Half an ' }])]],
    ['an OpenAI-compatible server', 'openai-compatible/llama', [openai.text('Half an ')]],
  ])('when %s ends in the middle without a word', async (_, model, events) => {
    const { client, pauses } = serve(() => sse(...events))
    const error = await failureOf(collect(client, requestOf({ model, messages: hello })))
    expect(error).toMatchObject({
      problem: 'upstream-error',
      message: `The answer of the model provider ${model.split('/')[0]} broke off.`,
    })
    expect(pauses).toEqual([])
  })

  test('when nothing came at all, it is asked for again', async () => {
    for (const model of [openai.model, anthropic.model, gemini.model, 'openai-compatible/llama']) {
      const { client, seen } = serve(() => sse())
      const error = await failureOf(collect(client, requestOf({ model, messages: hello })))
      expect(error).toMatchObject({ problem: 'upstream-error' })
      expect([model, seen.length]).toEqual([model, 3])
    }
  })

  test('when an error comes inside the stream: again if it is the first event, else not', async () => {
    const overloaded = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }
    const first = serve(() => sse(overloaded))
    const message = 'The model provider anthropic failed with status 529.'
    expect(await failureOf(collect(first.client, requestOf({ model: anthropic.model, messages: hello })))).toMatchObject({ message })
    expect(first.seen).toHaveLength(3)
    const later = serve(() => sse(anthropic.start, ...anthropic.text, overloaded))
    expect(await failureOf(collect(later.client, requestOf({ model: anthropic.model, messages: hello })))).toMatchObject({ message })
    expect(later.seen).toHaveLength(1)
    const gateway = serve(() => sse(openai.text('Half an '), { error: { message: 'Provider returned error', code: 502 } }))
    const error = await failureOf(collect(gateway.client, requestOf({ model: 'openai-compatible/m', messages: hello })))
    expect(error).toMatchObject({ message: 'The model provider openai-compatible failed with status 502.' })
  })

  test('when the answer is no stream of events', async () => {
    for (const model of [openai.model, anthropic.model, gemini.model]) {
      const { client } = serve(() => sse('<html>a proxy page</html>'))
      expect(await failureOf(collect(client, requestOf({ model, messages: hello })))).toMatchObject({ problem: 'upstream-error' })
    }
  })

  test('when the arguments of a call are no JSON object', async () => {
    for (const args of ['{"city":', '["Rome"]', 'null', `{"city":${'['.repeat(50_000)}${']'.repeat(50_000)}}`]) {
      const { client, seen } = serve(() => sse(openai.call('get_weather', args), openai.end('tool_calls'), '[DONE]'))
      const error = await failureOf(collect(client, requestOf({ model: openai.model, messages: hello, tools: [getWeather] })))
      expect(error).toMatchObject({
        problem: 'upstream-error',
        message: 'The model called get_weather with arguments that are no JSON object.',
      })
      expect(seen).toHaveLength(1)
    }
    const { client } = serve(() => sse(openai.call('now', ''), openai.end('tool_calls'), '[DONE]'))
    const { reply } = await collect(client, requestOf({ model: openai.model, messages: hello, tools: [{ ...getWeather, name: 'now' }] }))
    expect(reply.toolCalls).toEqual([{ callId: 'call_1', name: 'now', args: {} }])
  })

  test('when it does not end: the connection is closed at 4 MiB', async () => {
    const { client, seen } = serve(() =>
      sse(...Array.from({ length: 70 }, () => openai.text('x'.repeat(65_536))), openai.end('stop'), '[DONE]'),
    )
    const error = await failureOf(collect(client, requestOf({ model: openai.model, messages: hello })))
    expect(error).toMatchObject({ problem: 'upstream-error', message: 'The reply of the model is too long.' })
    expect(seen).toHaveLength(1)
  })
})

describe('the connection to the provider is closed', () => {
  const beginnings = [
    [openai.model, [openai.text('Half an ')]],
    ['openai-compatible/llama', [openai.text('Half an ')]],
    [anthropic.model, [anthropic.start, ...anthropic.text]],
    [gemini.model, [gemini.parts([{ text: 'Half an ' }])]],
  ] as const

  test.each(beginnings)('when the caller leaves in the middle (%s)', async (model, events) => {
    const { client, seen } = serve(() => sseThenSilence(...events))
    const controller = new AbortController()
    const run = client.generate(requestOf({ model, messages: hello, signal: controller.signal }), () => controller.abort('left'))
    expect(await failureOf(run)).toBe('left')
    await seen[0]?.left
  })

  test.each(beginnings)('when the caller cannot take a delta, and with its own error (%s)', async (model, events) => {
    const { client, seen } = serve(() => sseThenSilence(...events))
    const full = new Error('the log is full')
    const run = client.generate(requestOf({ model, messages: hello }), () => {
      throw full
    })
    expect(await failureOf(run)).toBe(full)
    await seen[0]?.left
  })

  test('when the caller leaves before the first byte, or has left before', async () => {
    for (const model of [openai.model, anthropic.model, gemini.model]) {
      const { client, seen } = serve(() => sseThenSilence())
      const controller = new AbortController()
      const run = failureOf(collect(client, requestOf({ model, messages: hello, signal: controller.signal })))
      await Bun.sleep(30)
      controller.abort('left')
      expect(await run).toBe('left')
      await seen[0]?.left
      expect(await failureOf(collect(client, requestOf({ model, messages: hello, signal: controller.signal })))).toBe('left')
      expect(seen).toHaveLength(1)
    }
  })
})

test('a key that is none is told of as such, by those too who call the whole request bad', async () => {
  for (const [model, error] of [
    [gemini.model, { code: 400, message: 'API key not valid.', status: 'INVALID_ARGUMENT', details: [{ reason: 'API_KEY_INVALID' }] }],
    ['openai-compatible/grok-4', { message: 'Incorrect API key provided: te***ey.' }],
  ] as const) {
    const { client, seen } = serve(() => Response.json({ error }, { status: 400 }))
    const failure = await failureOf(collect(client, requestOf({ model, messages: hello })))
    expect(failure).toMatchObject({ problem: 'upstream-error', message: 'The model provider refused the API key.' })
    expect(seen).toHaveLength(1)
  }
})

test('a pause that would pass the deadline, or is longer than 20 s, is not waited', async () => {
  const limited = (seconds: string) => () => new Response('{}', { status: 429, headers: { 'retry-after': seconds } })
  const far = serve(limited('21'))
  expect(await failureOf(collect(far.client, requestOf({ model: openai.model, messages: hello })))).toMatchObject({
    problem: 'rate-limited',
    retryAfterSeconds: 21,
  })
  expect(far.pauses).toEqual([])
  const near = serve(limited('15'))
  const request = requestOf({ model: openai.model, messages: hello, timeoutMs: 20_001 })
  expect(await failureOf(collect(near.client, request))).toMatchObject({ problem: 'rate-limited', retryAfterSeconds: 15 })
  expect(near.pauses).toEqual([15_000])
})

test.each([
  ['retry-after', '99999999999'],
  ['retry-after', '9'.repeat(22)],
  ['retry-after-ms', 'Infinity'],
  ['retry-after', 'Fri, 31 Dec 9999 23:59:59 GMT'],
])('a provider that names no sensible time (%s: %s) is passed on as one that asks for a day', async (name, value) => {
  const { client } = serve(() => new Response('{}', { status: 429, headers: { [name]: value } }))
  const error = await failureOf(collect(client, requestOf({ model: openai.model, messages: hello })))
  expect(error).toMatchObject({ problem: 'rate-limited', retryAfterSeconds: 86_400 })
})

test('the real clock keeps the deadline too, and leaves no timer behind', async () => {
  const { url } = serve(() => sseThenSilence(openai.text('Half an ')))
  const client = createModelClient({
    openaiBaseUrl: url,
    anthropicBaseUrl: url,
    geminiBaseUrl: url,
    defaultKeys: {},
    clock: systemClock,
    log: silentLog,
  })
  const error = await failureOf(collect(client, requestOf({ model: openai.model, messages: hello, timeoutMs: 100 })))
  expect(error).toMatchObject({ problem: 'upstream-timeout', message: 'The model did not finish within 0.1 s.' })
})

test('token counts that cannot be true are brought to whole numbers that can be kept', async () => {
  for (const model of [openai.model, 'openai-compatible/llama']) {
    const usage = { prompt_tokens: 1.5, completion_tokens: 3e9, total_tokens: 3e9 }
    const { client } = serve(() =>
      sse(
        openai.text('Hello'),
        openai.end('stop'),
        { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [], usage },
        '[DONE]',
      ),
    )
    const { reply } = await collect(client, requestOf({ model, messages: hello }))
    expect(reply.usage).toMatchObject({ inputTokens: 2, outputTokens: 10_000_000 })
  }
})
