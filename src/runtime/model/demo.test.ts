import { expect, test } from 'bun:test'
import { systemClock } from '~/platform/clock'
import { silentLog } from '~/platform/log'
import { collect, failureOf, fakeTime, requestOf } from '../../../tests/support/model-calls'
import { createModelClient } from './client'
import type { ModelMessage, ToolDeclaration } from './types'

const now: ToolDeclaration = { name: 'now', description: 'The time.', inputSchema: { type: 'object' } }

const user = (text: string): ModelMessage => ({ role: 'user', parts: [{ type: 'text', text }] })
const say = (text: string, more = {}) => requestOf({ model: 'demo/echo', apiKey: undefined, messages: [user(text)], ...more })

function setUp(clock = fakeTime()) {
  const nowhere = 'http://127.0.0.1:1'
  const client = createModelClient({
    openaiBaseUrl: nowhere,
    anthropicBaseUrl: nowhere,
    geminiBaseUrl: nowhere,
    defaultKeys: {},
    clock: clock.clock,
    log: silentLog,
  })
  return { client, ...clock }
}

test('it needs no key and says the text back word by word, the same each time', async () => {
  const { client } = setUp()
  const first = await collect(client, say('hello  wide\nworld '))
  expect(first.deltas.map(({ text }) => text)).toEqual(['Echo: ', 'hello  ', 'wide\n', 'world'])
  expect(first.reply).toMatchObject({ text: 'Echo: hello  wide\nworld', toolCalls: [], finishReason: 'stop', usage: { outputTokens: 4 } })
  expect(await collect(client, say('hello  wide\nworld '))).toEqual(first)
})

test('it answers the last message of the user, whatever came before', async () => {
  const { client } = setUp()
  const messages: ModelMessage[] = [user('one'), { role: 'assistant', parts: [{ type: 'text', text: 'Echo: one' }] }, user('two')]
  expect((await collect(client, say('', { messages }))).reply.text).toBe('Echo: two')
  expect((await collect(client, say('', { messages: [] }))).reply.text).toBe('Echo: ')
})

test('it calls declared tools on request and quotes their results', async () => {
  const { client } = setUp()
  const request = say('please\n/tool now {"zone":"UTC"}\n/tool now', { tools: [now] })
  const { deltas, reply } = await collect(client, request)
  expect(deltas).toEqual([])
  expect(reply).toMatchObject({ text: '', finishReason: 'tool-calls' })
  expect(reply.toolCalls).toEqual([
    { callId: 'call_1', name: 'now', args: { zone: 'UTC' } },
    { callId: 'call_2', name: 'now', args: {} },
  ])
  const messages: ModelMessage[] = [
    ...request.messages,
    { role: 'assistant', parts: reply.toolCalls.map((call) => ({ type: 'tool-call', ...call })) },
    {
      role: 'tool',
      parts: [
        { type: 'tool-result', callId: 'call_1', name: 'now', result: { time: '12:00' } },
        { type: 'tool-result', callId: 'call_2', name: 'now', result: 'no clock', isError: true },
      ],
    },
  ]
  const answer = await collect(client, { ...request, messages })
  expect(answer.reply.text).toBe('Echo: now returned {"time":"12:00"}\nnow failed with "no clock"')
  const next = await collect(client, { ...request, messages: [...messages, user('/tool now {}')] })
  expect(next.reply.toolCalls).toEqual([{ callId: 'call_3', name: 'now', args: {} }])
})

test('a tool that is not declared, or arguments that are no object, are just text', async () => {
  const { client } = setUp()
  for (const text of ['/tool other {}', '/tool now [1]', '/tool now {"a":', 'say /tool now {}']) {
    const { reply } = await collect(client, say(text, { tools: [now] }))
    expect([reply.toolCalls, reply.text]).toEqual([[], `Echo: ${text}`])
  }
})

test('it slows down on request, but never for more than 10 s a word', async () => {
  const { client, pauses } = setUp()
  expect((await collect(client, say('/slow 50\nhello world'))).reply.text).toBe('Echo: hello world')
  expect(pauses).toEqual([50, 50, 50])
  await collect(client, say('/slow 99999999\nhello'))
  expect(pauses.slice(3)).toEqual([10_000, 10_000])
})

test('a slow answer can be aborted between two words', async () => {
  const { client } = setUp({ ...fakeTime(), clock: systemClock })
  const controller = new AbortController()
  const words: string[] = []
  const run = client.generate(say('/slow 30\none two three', { signal: controller.signal }), ({ text }) => {
    words.push(text)
    if (words.length === 2) controller.abort('left')
  })
  expect(await failureOf(run)).toBe('left')
  await Bun.sleep(80)
  expect(words).toEqual(['Echo: ', 'one '])
})

test('a long answer lets others work', async () => {
  const { client } = setUp({ ...fakeTime(), clock: systemClock })
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  await collect(client, say('word '.repeat(200_000)))
  clearInterval(timer)
  expect(turns).toBeGreaterThan(1)
})

test('it fails on request', async () => {
  const { client } = setUp()
  expect(await failureOf(collect(client, say('please\n/fail')))).toMatchObject({ problem: 'upstream-error' })
})
