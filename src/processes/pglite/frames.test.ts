import { expect, test } from 'bun:test'
import { Frames } from './frames'

const typed = (type: string, body: string) => {
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, Buffer.from(body)])
}

test('however the bytes are cut into packets, the messages are the same', () => {
  const sent = [typed('Q', 'select 1\0'), typed('S', ''), typed('P', 'x'.repeat(1000)), typed('H', ''), typed('E', '\0\0\0\0\0')]
  const stream = Buffer.concat(sent)
  for (let round = 0; round < 500; round++) {
    const frames = new Frames(10_000)
    frames.expectTyped()
    const received: Buffer[] = []
    for (let at = 0; at < stream.length; ) {
      const length = round === 0 ? 1 : 1 + Math.floor(Math.random() * (round % 300))
      frames.push(stream.subarray(at, at + length))
      at += length
      for (let message = frames.next(); message; message = frames.next()) received.push(message)
    }
    expect(received).toEqual(sent)
  }
})

test('a message without a type and one with a type may come in one packet', () => {
  const frames = new Frames(100)
  frames.push(Buffer.concat([Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]), typed('p', 'secret\0')]))
  expect(frames.next()).toHaveLength(8)
  frames.expectTyped()
  expect(frames.next()).toEqual(typed('p', 'secret\0'))
  expect(frames.next()).toBeUndefined()
})

test('a length that makes no sense, or is too large, is refused before the message is there', () => {
  for (const length of [-1, 0, 3, 101]) {
    const frames = new Frames(100)
    frames.expectTyped()
    const head = Buffer.from('Q\0\0\0\0')
    head.writeInt32BE(length, 1)
    frames.push(head)
    expect(() => frames.next()).toThrow(RangeError)
  }
})
