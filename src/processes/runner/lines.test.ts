import { expect, test } from 'bun:test'
import { createLineReader, OutputExceeded } from './lines'

const LIMITS = { lineBytes: 1000, junkBytes: 500, messageBytes: 5000, messagesPerTenSeconds: 50 }
const message = (id: number, text = '') => JSON.stringify({ jsonrpc: '2.0', id, result: { text } })

test('messages come out whole and in order, however they were cut; other lines are dropped', () => {
  const read = createLineReader(LIMITS)
  const bytes = Buffer.from(
    `starting…\n\r\n${message(1, 'ä')}\r\n[1]\n{"jsonrpc":"1.0"}\n{"jsonrpc":"2.0","method":"news"}\n{broken\n${message(2)}\n${message(3)}`,
  )
  const found: string[] = []
  for (let at = 0; at < bytes.byteLength; at += 3) found.push(...read(bytes.subarray(at, at + 3)))
  expect(found.map((text) => JSON.parse(text).id)).toEqual([1, 2])
  expect(read(Buffer.from('\n'))).toEqual([message(3)])
})

test.each([
  ['endless bytes without an end of line', 'x'.repeat(100), 'line without an end'],
  ['endless junk lines', `${'x'.repeat(50)}\n`, 'no message'],
  ['endless messages', `${message(1)}\n`, 'too many messages'],
  ['large messages', `${message(1, 'x'.repeat(900))}\n`, 'too much'],
])('MCP-06: %s end it', (_, piece, reason) => {
  const read = createLineReader(LIMITS)
  const flood = () => {
    for (let times = 0; times < 100; times++) read(Buffer.from(piece))
  }
  expect(flood).toThrow(OutputExceeded)
  expect(flood).toThrow(reason)
})

test('a server that talks for long, but not too fast, is left alone', () => {
  let now = 0
  const read = createLineReader({ ...LIMITS, messageBytes: 1e6 }, () => now)
  for (let times = 0; times < 500; times++) {
    now += 300
    expect(read(Buffer.from(`${message(times)}\n`))).toHaveLength(1)
  }
})
