import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { type ChatConnection, isTurnComplete, openChat } from '../support/chat-socket'
import { startApp, type TestApp } from '../support/start-app'

setDefaultTimeout(20_000)

/** A row of the chat's contract: frames that the client sends, one behind the other, and what it gets. */
interface FrameRow {
  what: string
  /** `token`, `key`: the right credential is sent first. */
  as?: 'token' | 'key' | 'both, a bad token first'
  /** Text is sent as it is. */
  send: (object | string)[]
  /** Of which agent, where not of Ada's. */
  agent?: 'unknown' | 'no id'
  /** The texts of the events until all turns are over. */
  says?: string[]
  /** The first frame, as far as it matters. */
  first?: object
  closed?: number
  changed?: string
}

const file = { filename: 'a.txt', content_type: 'text/plain', data: btoa('text'), size: 4, preview_url: 'data:' }
const hello = { message: 'hello' }

const ROWS: FrameRow[] = [
  { what: 'a token, and the first message right behind it', as: 'token', send: [hello], says: ['Echo: hello'] },
  { what: "an agent's key", as: 'key', send: [hello], says: ['Echo: hello'] },
  { what: 'both, of which the token is bad', as: 'both, a bad token first', send: [hello], says: ['Echo: hello'], changed: 'closed' },
  {
    what: 'two messages: one turn after the other',
    as: 'token',
    send: [hello, { message: 'again' }],
    says: ['Echo: hello', 'Echo: again'],
  },
  {
    what: 'an event is whole, its parts are a list and carry a type (9.4)',
    as: 'token',
    send: [hello],
    first: {
      message: {
        id: expect.any(String),
        author: 'guide',
        timestamp: expect.any(Number),
        content: { role: 'agent', parts: [{ type: 'text', text: 'Echo: hello' }] },
      },
      turn_complete: false,
    },
  },
  {
    what: 'a file with a message (9.3)',
    as: 'token',
    send: [{ message: 'look', files: [file] }],
    says: ['Echo: look'],
  },
  {
    what: 'a file without a message',
    as: 'token',
    send: [{ message: '', files: [file] }],
    says: ['Echo: Analyze the provided files'],
    changed: 'ignored',
  },
  {
    what: 'a failed turn is told, and ends',
    as: 'token',
    send: [{ message: '/fail' }],
    says: ['Error: The demo model was told to fail.'],
    changed: 'closed with 1011',
  },
  { what: 'no JSON, then a message', as: 'token', send: ['{', hello], first: { error: { status: 400 } }, changed: 'ignored' },
  { what: 'JSON that is no object', as: 'token', send: ['[1]'], first: { error: { status: 400 } }, changed: 'closed with 1011' },
  { what: 'no credential', send: [hello], closed: 1008 },
  { what: 'a credential of another shape', send: [{ type: 'authorization' }], closed: 1008 },
  { what: 'no JSON for a credential', send: ['{'], closed: 1008 },
  { what: 'a bad token', send: [{ type: 'authorization', token: 'a.b.c' }], closed: 1008 },
  { what: 'a bad key', send: [{ type: 'authorization', api_key: 'nothing' }], closed: 1008 },
  { what: "another's token", send: [{ type: 'authorization', token: '{bob}' }], closed: 1008 },
  { what: 'an unknown agent', as: 'token', agent: 'unknown', send: [], closed: 1008 },
]

let app: TestApp
let agent: { id: string; config: { api_key: string } }
const open: ChatConnection[] = []
beforeAll(async () => {
  app = await startApp()
  const draft = { client_id: app.ada.clientId, name: 'guide', type: 'llm', model: 'demo/echo', config: {} }
  agent = (await app.ada.call('POST', '/api/v1/agents/', draft)).body
})
afterAll(async () => {
  for (const { socket } of open) socket.close()
  await app.close()
})

function credentialOf(as: FrameRow['as']): object | undefined {
  if (as === undefined) return undefined
  if (as === 'token') return { type: 'authorization', token: app.ada.token }
  return { type: 'authorization', api_key: agent.config.api_key, ...(as === 'key' ? {} : { token: 'a.b.c' }) }
}

describe('3.13, 9.3, 9.4 GET /chat/ws/{agent_id}/{external_id}', () => {
  test.each(
    ROWS.map((row, index): [string, FrameRow, number] => [row.changed ? `${row.what} (was: ${row.changed})` : row.what, row, index]),
  )('%s', async (_, row, index) => {
    const id = row.agent === undefined ? agent.id : crypto.randomUUID()
    const chat = await openChat(`${app.url}/api/v1/chat/ws/${id}/2026010100000${1000 + index}`, credentialOf(row.as))
    open.push(chat)
    for (const frame of row.send)
      chat.socket.send((typeof frame === 'string' ? frame : JSON.stringify(frame)).replace('{bob}', app.bob.token))
    if (row.closed !== undefined) {
      expect((await chat.closed).code).toBe(row.closed)
      expect(chat.frames).toEqual([])
      return
    }
    const turns = row.says?.length ?? 1
    await chat.until((frame) => isTurnComplete(frame) && chat.frames.filter(isTurnComplete).length >= turns)
    if (row.first !== undefined) expect(chat.frames[0]).toMatchObject(row.first)
    if (row.says !== undefined) {
      const events = chat.frames.filter((frame) => !isTurnComplete(frame))
      expect(events.map(({ message }) => message.content.parts.map(({ text }: { text: string | null }) => text).join(''))).toEqual(row.says)
      expect(chat.frames.filter(isTurnComplete)).toEqual(Array(turns).fill({ message: '', turn_complete: true }))
    }
  })
})
