import { expect, test } from 'bun:test'
import { silentLog } from '~/platform/log'
import type { Engine } from './engine'
import { FrontendMessage, query, readyForQuery, sync } from './messages'
import { createTurns, type TurnTaker } from './turns'

/** An engine that notes what it is given and keeps a transaction open from `begin` to `commit` or `rollback`. */
function fakeEngine() {
  const ran: string[] = []
  let open = false
  const engine: Engine = {
    run(messages) {
      const text = Buffer.from(messages).toString('latin1')
      const sql = /begin|commit|rollback|[a-z] \d/.exec(text)?.[0] ?? text[0] ?? ''
      ran.push(sql)
      if (sql === 'begin') open = true
      if (sql === 'commit' || sql === 'rollback') open = false
      return readyForQuery
    },
    rows: () => [],
    inTransaction: () => open,
    close: async () => undefined,
  }
  return { engine, ran }
}

function taker(...turns: FrontendMessage[][]) {
  const dismissed: string[] = []
  const client: TurnTaker & { turns: FrontendMessage[][]; dismissed: string[]; clogged: boolean; onDismiss(): void } = {
    turns,
    dismissed,
    clogged: false,
    settings: undefined,
    settingStatements: new Set(),
    statements: new Set(),
    nextTurn: () => client.turns.shift() ?? [],
    hasTurn: () => client.turns.length > 0,
    isClogged: () => client.clogged,
    send: () => undefined,
    onDismiss: () => undefined,
    dismiss(code) {
      dismissed.push(code)
      client.onDismiss()
    },
  }
  return client
}

const simple = (sql: string) => [new FrontendMessage(query(sql))]
const flushed = [new FrontendMessage(Buffer.from([0x48, 0, 0, 0, 4]))]
const synced = [new FrontendMessage(sync)]

test('who is in a transaction goes on, however many wait and however long they have waited', () => {
  const { engine, ran } = fakeEngine()
  const turns = createTurns({ engine, maxIdleMs: 1000, log: silentLog })
  const [a, b] = [taker(simple('begin')), taker(simple('b 1'))]
  turns.offer(a)
  turns.offer(b)
  a.turns.push(simple('a 1'), simple('commit'))
  turns.offer(a)
  expect(ran).toEqual(['begin', 'a 1', 'commit', 'b 1'])
})

test('from a Flush to its Sync nobody else has a turn', () => {
  const { engine, ran } = fakeEngine()
  const turns = createTurns({ engine, maxIdleMs: 1000, log: silentLog })
  const [a, b] = [taker(flushed), taker(simple('b 1'))]
  turns.offer(a)
  turns.offer(b)
  a.turns.push(synced)
  turns.offer(a)
  expect(ran).toEqual(['H', 'S', 'b 1'])
})

test('connections with much to say alternate', () => {
  const { engine, ran } = fakeEngine()
  const turns = createTurns({ engine, maxIdleMs: 1000, log: silentLog })
  const holder = taker(simple('begin'))
  turns.offer(holder)
  turns.offer(taker(simple('a 1'), simple('a 2')))
  turns.offer(taker(simple('b 1'), simple('b 2')))
  turns.leave(holder)
  expect(ran).toEqual(['begin', 'rollback', 'a 1', 'b 1', 'a 2', 'b 2'])
})

test('a transaction that is silent while others wait is ended, but not one that nobody waits for', async () => {
  const { engine, ran } = fakeEngine()
  const turns = createTurns({ engine, maxIdleMs: 20, log: silentLog })
  const silent = taker(simple('begin'))
  silent.onDismiss = () => turns.leave(silent)
  turns.offer(silent)
  await Bun.sleep(60)
  expect(silent.dismissed).toEqual([])
  turns.offer(taker(simple('b 1')))
  await Bun.sleep(60)
  expect(silent.dismissed).toEqual(['25P03'])
  expect(ran).toEqual(['begin', 'rollback', 'b 1'])
})

test('who does not read has no turn, and holds up nobody', () => {
  const { engine, ran } = fakeEngine()
  const turns = createTurns({ engine, maxIdleMs: 1000, log: silentLog })
  const [a, b] = [taker(simple('a 1')), taker(simple('b 1'))]
  a.clogged = true
  turns.offer(a)
  turns.offer(b)
  a.clogged = false
  turns.offer(a)
  expect(ran).toEqual(['b 1', 'a 1'])
})

test('the server itself runs nothing inside a transaction of others', () => {
  const { engine } = fakeEngine()
  const turns = createTurns({ engine, maxIdleMs: 1000, log: silentLog })
  turns.offer(taker(simple('begin')))
  expect(turns.runOwn('checkpoint')).toBeUndefined()
})
