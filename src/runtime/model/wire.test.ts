import { afterEach, describe, expect, test } from 'bun:test'
import { collect, failureOf, requestOf } from '../../../tests/support/model-calls'
import { anthropic, gemini, getWeather, hello, openai, serveRaw, sse } from '../../../tests/support/raw-provider'
import { loadModel } from './load-model'
import type { ModelMessage, ModelReply } from './types'

const served: Array<{ stop(): Promise<void> }> = []
afterEach(async () => {
  for (const server of served.splice(0)) await server.stop()
})

function serve(...answers: Array<() => Response>) {
  const provider = serveRaw(...answers)
  served.push(provider)
  return provider
}

/** Stored and read again, as the journal does it. */
const answerTo = ({ toolCalls, text, providerState }: ModelReply): ModelMessage[] =>
  JSON.parse(
    JSON.stringify([
      ...hello,
      { role: 'assistant', parts: [{ type: 'text', text }, ...toolCalls.map((call) => ({ type: 'tool-call', ...call }))], providerState },
      { role: 'tool', parts: toolCalls.map(({ callId, name }) => ({ type: 'tool-result', callId, name, result: { sky: 'blue' } })) },
    ]),
  )

test('each provider gets the key in its own header, at its own path, with the tools as they were declared', async () => {
  const { client, seen } = serve(() => new Response(null, { status: 400 }))
  for (const model of [openai.model, anthropic.model, gemini.model, 'openai-compatible/llama']) {
    await failureOf(collect(client, requestOf({ model, apiKey: ' tenants-key\n', messages: hello, tools: [getWeather] })))
  }
  expect(
    seen.map(({ path, headers }) => [path, headers.get('authorization') ?? headers.get('x-api-key') ?? headers.get('x-goog-api-key')]),
  ).toEqual([
    ['/chat/completions', 'Bearer tenants-key'],
    ['/messages', 'tenants-key'],
    ['/models/gemini-3-pro-preview:streamGenerateContent?alt=sse', 'tenants-key'],
    ['/chat/completions', 'Bearer tenants-key'],
  ])
  for (const { body } of seen) expect(JSON.stringify(body.tools)).toContain('"properties":{"city":{"type":"string"}}')
  expect(seen[0]?.body).toMatchObject({ model: 'gpt-4o', stream: true, stream_options: { include_usage: true } })
})

test('an agent without a key uses the key of the operator, and is refused where there is none', async () => {
  const { client, seen } = serve(() => sse(openai.text('hi'), openai.end('stop'), '[DONE]'))
  for (const apiKey of [undefined, '']) await collect(client, requestOf({ model: openai.model, apiKey, messages: hello }))
  expect(seen.map(({ headers }) => headers.get('authorization'))).toEqual(['Bearer operators-key', 'Bearer operators-key'])
  await collect(client, requestOf({ model: 'openai-compatible/llama', apiKey: undefined, messages: hello }))
  expect(seen[2]?.headers.has('authorization')).toBe(false)
  for (const provider of ['anthropic', 'groq']) {
    const error = await failureOf(collect(client, requestOf({ model: `${provider}/m`, apiKey: undefined, messages: hello })))
    expect(error).toMatchObject({ problem: 'upstream-error', message: `This agent has no API key for ${provider}. Set api_key_id.` })
  }
})

test('a picture and a PDF reach each provider in its own form, and a file that it does not take is named as the reason', async () => {
  const { client, seen } = serve(() => new Response(null, { status: 400 }))
  const file = (mediaType: string, data: string, filename: string) => ({ type: 'file' as const, mediaType, data, filename })
  const withFile = (...files: ReturnType<typeof file>[]): ModelMessage[] => [
    { role: 'user', parts: [{ type: 'text', text: 'look' }, ...files] },
  ]
  const messages = withFile(file('image/png', 'iVBORw0KGgo=', 'a.png'), file('application/pdf', 'JVBERi0xLjc=', 'b.pdf'))
  for (const model of [openai.model, anthropic.model, gemini.model]) await failureOf(collect(client, requestOf({ model, messages })))
  expect(seen[0]?.body.messages).toMatchObject([
    {
      role: 'user',
      content: [
        { type: 'text', text: 'look' },
        { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
        { type: 'file', file: { filename: 'b.pdf', file_data: 'data:application/pdf;base64,JVBERi0xLjc=' } },
      ],
    },
  ])
  expect(seen[1]?.body.messages).toMatchObject([
    {
      role: 'user',
      content: [
        { type: 'text', text: 'look' },
        { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } },
        { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0xLjc=' }, title: 'b.pdf' },
      ],
    },
  ])
  expect(seen[2]?.body.contents).toMatchObject([
    {
      role: 'user',
      parts: [
        { text: 'look' },
        { inlineData: { mimeType: 'image/png', data: 'iVBORw0KGgo=' } },
        { inlineData: { mimeType: 'application/pdf', data: 'JVBERi0xLjc=' } },
      ],
    },
  ])
  for (const [model, provider] of [
    [openai.model, 'openai'],
    [anthropic.model, 'anthropic'],
  ] as const) {
    const error = await failureOf(collect(client, requestOf({ model, messages: withFile(file('video/mp4', 'AAAA', 'c.mp4')) })))
    const message = expect.stringMatching(new RegExp(`^The model provider ${provider} does not take this: .*video/mp4`))
    expect(error).toMatchObject({ problem: 'upstream-error', message })
  }
  expect(seen).toHaveLength(3)
})

test('a key that no header can hold is refused without being quoted', async () => {
  const { client, seen } = serve(() => new Response())
  const error = await failureOf(collect(client, requestOf({ model: openai.model, apiKey: 'sk-abc\ndef', messages: hello })))
  expect(error).toMatchObject({ problem: 'upstream-error' })
  expect(Bun.inspect(error)).not.toContain('sk-abc')
  expect(seen).toEqual([])
})

test('a key does not follow a redirect', async () => {
  const other = serve(() => new Response())
  for (const model of [openai.model, anthropic.model, gemini.model]) {
    const { client } = serve(() => Response.redirect(other.url, 307))
    expect(await failureOf(collect(client, requestOf({ model, messages: hello })))).toMatchObject({ problem: 'upstream-error' })
  }
  expect(other.seen).toEqual([])
})

test('token counts are not asked of a provider that refuses the question', async () => {
  const { seen, url } = serve(() => sse(openai.end('stop'), '[DONE]'))
  const address = { name: 'mistral', protocol: 'openai-compatible', baseUrl: url, apiKey: 'k', model: 'm' } as const
  const call = { prompt: [{ role: 'user' as const, content: [{ type: 'text' as const, text: 'hi' }] }] }
  await (await loadModel({ ...address, refusesStreamOptions: true })).doStream(call)
  await (await loadModel({ ...address, refusesStreamOptions: false })).doStream(call)
  expect(seen.map(({ body }) => body.stream_options)).toEqual([undefined, { include_usage: true }])
})

describe('code that Gemini runs by itself', () => {
  const executableCode = { language: 'PYTHON', code: 'print(6 * 7)' }
  const codeExecutionResult = { outcome: 'OUTCOME_OK', output: '42\n' }
  const code = [{ executable_code: executableCode }, { code_execution_result: codeExecutionResult }]

  test('is no call to us, and is a part of the reply', async () => {
    const { client } = serve(() =>
      sse(gemini.parts([{ executableCode }]), gemini.parts([{ codeExecutionResult }, { text: 'It is 42.' }], 'STOP')),
    )
    const { reply } = await collect(client, requestOf({ model: gemini.model, messages: hello, tools: [getWeather] }))
    expect(reply).toMatchObject({ text: 'It is 42.', toolCalls: [], code, finishReason: 'stop' })
    expect(reply.providerState).toBeUndefined()
  })

  test('goes back in its place with the result of a call to us', async () => {
    const call = { functionCall: { name: 'get_weather', args: { city: 'Rome' } }, thoughtSignature: 'c2lnbmVk' }
    const { client, seen } = serve(
      () => sse(gemini.parts([{ executableCode }, { codeExecutionResult }, call], 'STOP')),
      () => sse(gemini.parts([{ text: 'Sunny.' }], 'STOP')),
    )
    const request = requestOf({ model: gemini.model, messages: hello, tools: [getWeather] })
    const { reply } = await collect(client, request)
    expect(reply.toolCalls.map(({ name }) => name)).toEqual(['get_weather'])
    await collect(client, { ...request, messages: answerTo(reply) })
    const [, sent, answered] = (seen[1]?.body.contents ?? []) as { parts: object[] }[]
    expect(sent?.parts).toMatchObject([{ executableCode }, { codeExecutionResult }, call])
    expect(answered?.parts).toHaveLength(1)
  })
})

describe('what a provider wants back is sent back with the tool results', () => {
  test("Gemini's thought signature, in place", async () => {
    const { client, seen } = serve(
      () => sse(gemini.parts([{ functionCall: { name: 'get_weather', args: { city: 'Rome' } }, thoughtSignature: 'c2lnbmVk' }], 'STOP')),
      () => sse(gemini.parts([{ text: 'Sunny.' }], 'STOP')),
    )
    const request = requestOf({ model: gemini.model, messages: hello, tools: [getWeather] })
    const { reply } = await collect(client, request)
    expect(reply.finishReason).toBe('tool-calls')
    const second = await collect(client, { ...request, messages: answerTo(reply) })
    expect(second.reply).toMatchObject({ text: 'Sunny.', finishReason: 'stop' })
    expect(second.reply.providerState).toBeUndefined()
    expect(seen[1]?.body.contents).toMatchObject([
      { role: 'user' },
      { role: 'model', parts: [{ functionCall: { name: 'get_weather', args: { city: 'Rome' } }, thoughtSignature: 'c2lnbmVk' }] },
      { role: 'user', parts: [{ functionResponse: { name: 'get_weather', response: { content: { sky: 'blue' } } } }] },
    ])
  })

  test("Anthropic's signed thinking, before the call, but not to another model", async () => {
    const { client, seen } = serve(() =>
      sse(
        anthropic.start,
        { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Where?' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'signed' } },
        { type: 'content_block_stop', index: 0 },
        { type: 'content_block_start', index: 1, content_block: { type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: {} } },
        { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: '{"city":"Rome"}' } },
        { type: 'content_block_stop', index: 1 },
        { type: 'message_delta', delta: { stop_reason: 'tool_use', stop_sequence: null }, usage: { output_tokens: 8 } },
        { type: 'message_stop' },
      ),
    )
    const request = requestOf({ model: anthropic.model, messages: hello, tools: [getWeather] })
    const { reply, deltas } = await collect(client, request)
    expect(deltas).toEqual([{ type: 'reasoning', text: 'Where?' }])
    expect(reply).toMatchObject({ text: '', usage: { inputTokens: 3, outputTokens: 8 } })
    for (const model of [anthropic.model, 'anthropic/claude-opus-4-1'])
      await collect(client, { ...request, model, messages: answerTo(reply) })
    const toolUse = { type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: { city: 'Rome' } }
    const sent = seen.slice(1).map(({ body }) => (body.messages as Array<{ content: unknown }>)[1]?.content)
    expect(sent).toEqual([[{ type: 'thinking', thinking: 'Where?', signature: 'signed' }, toolUse], [toolUse]])
  })

  test('the reasoning of an OpenAI-compatible server', async () => {
    const { client, seen } = serve(() =>
      sse(
        { choices: [{ index: 0, delta: { reasoning_content: 'Where?' } }] },
        openai.call('get_weather', '{"city":"Rome"}'),
        openai.end('tool_calls'),
        '[DONE]',
      ),
    )
    const request = requestOf({ model: 'openai-compatible/deepseek-v3.2', messages: hello, tools: [getWeather] })
    const { reply } = await collect(client, request)
    await collect(client, { ...request, messages: answerTo(reply) })
    const [, sent] = (seen[1]?.body.messages ?? []) as unknown[]
    expect(sent).toMatchObject({
      role: 'assistant',
      reasoning_content: 'Where?',
      tool_calls: [{ id: 'call_1', function: { name: 'get_weather', arguments: '{"city":"Rome"}' } }],
    })
  })
})
