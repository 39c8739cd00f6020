import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { silentLog } from '~/platform/log'
import { createOutbound } from '~/platform/outbound'
import { createOpenRemote } from '~/runtime/a2a/remote'
import type { RemoteAgentSpec } from '~/runtime/a2a/types'
import { type RemotePeer, startRemoteAgent } from '../support/remote-agent'

const outbound = createOutbound({ allow: ['127.0.0.1'], log: silentLog, defaults: { timeoutMs: 5000, maxBytes: 1_048_576 } })
const openRemote = createOpenRemote({ outbound, maxBytes: 65_536 })
const specOf = ({ card, cardUrl }: Pick<RemotePeer, 'card' | 'cardUrl'>, changes: Partial<RemoteAgentSpec> = {}): RemoteAgentSpec => ({
  name: 'parrot',
  cardUrl,
  config: { agent_card: card, auth: { type: 'apiKey', name: 'x-api-key', value: 'sEcret' } },
  timeoutMs: 5000,
  traceId: 'a'.repeat(32),
  ...changes,
})
const messageOf = (text: string) => ({ text, files: [], messageId: crypto.randomUUID(), contextId: 'user_agent:parrot' })
const send = async (spec: RemoteAgentSpec, text: string, taskId?: string) => {
  const pieces: string[] = []
  const message = { ...messageOf(text), taskId }
  const reply = await openRemote(spec).send(message, { signal: new AbortController().signal, onText: (piece) => pieces.push(piece) })
  return { reply, pieces, message }
}

describe.each([
  ['1.0', true],
  ['1.0', false],
  ['0.3', true],
  ['0.3', false],
] as const)('an agent of the official SDK, version %s, streaming %p', (version, streaming) => {
  let peer: RemotePeer
  beforeAll(() => {
    peer = startRemoteAgent(version, { streaming })
  })
  afterAll(() => peer.stop())

  test('is asked once, in its words, and its answer is shown as it comes', async () => {
    const { reply, pieces, message } = await send(specOf(peer), 'hello')
    expect(reply).toEqual({ parts: [{ text: 'Parrot: hello' }], inputRequired: false })
    expect(pieces.join('')).toBe('Parrot: hello')
    if (streaming) expect(pieces).toEqual(['Parrot: ', 'hello'])
    const [call] = peer.calls
    expect(call).toMatchObject({ contextId: message.contextId, messageId: message.messageId })
    expect(call?.headers.get('a2a-version')).toBe(version)
    expect(call?.headers.get('x-api-key')).toBe('sEcret')
    expect(call?.headers.get('traceparent')).toMatch(/^00-a{32}-[0-9a-f]{16}-01$/)
  })

  test('that fails is an upstream error with its reason; one that asks back is heard', async () => {
    await expect(send(specOf(peer), 'fail')).rejects.toMatchObject({
      problem: 'upstream-error',
      message: expect.stringContaining('the parrot is ill'),
    })
    expect((await send(specOf(peer), 'ask')).reply).toEqual({
      parts: [{ text: 'which one?' }],
      inputRequired: true,
      taskId: expect.any(String),
    })
  })

  test('whose connection breaks behind the name of its task is asked for what came of it, and not told the message again', async () => {
    const before = peer.calls.length
    const { reply, pieces } = await send(specOf(peer), 'drop')
    expect(reply).toEqual({ parts: [{ text: 'Parrot: drop' }], inputRequired: false })
    expect(pieces.join('')).toBe('Parrot: drop')
    expect(peer.calls.slice(before).filter(({ messageId }) => messageId !== '')).toHaveLength(1)
  })

  test('that asks back gets the answer in the task that waits for it, and in a new one when that is over', async () => {
    const { taskId } = (await send(specOf(peer), 'ask')).reply
    expect((await send(specOf(peer), 'this one', taskId)).reply).toEqual({ parts: [{ text: 'Parrot: this one' }], inputRequired: false })
    expect(peer.calls.at(-1)?.taskId).toBe(taskId ?? 'none')
    for (const gone of [taskId, crypto.randomUUID()]) {
      expect((await send(specOf(peer), 'again', gone)).reply.parts).toEqual([{ text: 'Parrot: again' }])
      expect(peer.calls.slice(-2).map((call) => call.taskId)).toEqual([gone ?? 'none', ''])
    }
  })

  test('defect 54: credentials go to the origin of the card that was entered, and to no other', async () => {
    await send(specOf(peer, { cardUrl: 'http://127.0.0.1:1/.well-known/agent.json' }), 'elsewhere')
    expect(peer.calls.at(-1)?.headers.get('x-api-key')).toBeNull()
  })

  test('that says nothing more is given up in time, and left when the run is', async () => {
    await expect(send(specOf(peer, { timeoutMs: 300 }), 'hang')).rejects.toMatchObject({ problem: 'upstream-timeout' })
    const leaving = new AbortController()
    const sent = openRemote(specOf(peer)).send(messageOf('hang'), { signal: leaving.signal, onText: () => undefined })
    setTimeout(() => leaving.abort(new Error('cancelled')), 100)
    await expect(sent).rejects.toThrow('cancelled')
  })
})

describe('a server of the reference', () => {
  let answer: object = {}
  let asked: { headers: Headers; body: { method: string; params: { message: { parts: object[] } } } } | undefined
  let server: ReturnType<typeof Bun.serve>
  beforeAll(() => {
    server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      async fetch(request) {
        asked = { headers: request.headers, body: (await request.json()) as NonNullable<typeof asked>['body'] }
        return Response.json({ jsonrpc: '2.0', id: 1, ...answer })
      },
    })
  })
  afterAll(() => server.stop(true))
  const spec = (changes: Partial<RemoteAgentSpec> = {}) => {
    const url = `http://127.0.0.1:${server.port}/api/v1/a2a/x`
    return specOf({ card: { name: 'old', url, version: '1.0.0' }, cardUrl: `${url}/.well-known/agent.json` }, changes)
  }

  test('is asked in its dialect', async () => {
    answer = {
      result: { id: 't', status: { state: 'completed' }, artifacts: [{ artifactId: 'a', parts: [{ type: 'text', text: 'old answer' }] }] },
    }
    expect((await send(spec(), 'hello')).reply).toEqual({ parts: [{ text: 'old answer' }], inputRequired: false })
    expect(asked?.body).toMatchObject({
      method: 'message/send',
      params: { message: { parts: [{ type: 'text', kind: 'text', text: 'hello' }] } },
    })
    expect(asked?.headers.get('x-api-key')).toBe('sEcret')
  })

  test('that fails, answers with an error, with nonsense or with too much is an upstream error', async () => {
    for (const odd of [
      { result: { status: { state: 'failed', message: { parts: [{ text: 'no' }] } } } },
      { error: { code: -32603, message: 'broken' } },
      { result: 'what?' },
      { result: { status: { state: 'completed' }, artifacts: [{ parts: [{ text: 'x'.repeat(100_000) }] }] } },
      { result: { status: { state: 'completed' }, artifacts: [] } },
    ]) {
      answer = odd
      await expect(send(spec(), 'hello')).rejects.toMatchObject({ problem: 'upstream-error' })
    }
  })

  test('SSRF-02: neither card nor endpoint may lead where nobody may go', async () => {
    const strict = createOpenRemote({
      outbound: createOutbound({ allow: [], log: silentLog, defaults: { timeoutMs: 500, maxBytes: 1000 } }),
      maxBytes: 1000,
    })
    expect(() => strict(spec())).toThrow(/not allowed/)
    const card = { name: 'x', url: 'http://169.254.169.254/rpc' }
    const remote = strict(spec({ cardUrl: 'https://example.com/.well-known/agent.json', config: { agent_card: card } }))
    const sent = remote.send(messageOf('hi'), { signal: new AbortController().signal, onText: () => undefined })
    await expect(sent).rejects.toMatchObject({ problem: 'url-not-allowed' })
  })
})
