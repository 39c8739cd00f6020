import { expect, test } from 'bun:test'
import type { LogEvent, LogEventType } from './log-event'
import { readShownText } from './shown-text'

/** What a client shows after the old pieces and the new ones. */
function watch(old: string[], again: string[]) {
  const log: LogEvent[] = old.map((text, index) => ({ seq: index + 1, type: 'text-delta', data: { step: 'model:1', text } }))
  const shown = readShownText(log)
  const pieces: { type: LogEventType; text?: unknown }[] = []
  const step = shown.resume('model:1', { piece: (type, data) => void pieces.push({ type, text: data.text }) })
  for (const text of again) step.emit({ type: 'text', text })
  step.end()
  let text = old.join('')
  for (const piece of pieces) text = piece.type === 'text-reset' ? '' : text + String(piece.text)
  return { text, pieces }
}

test('a step that says the same again shows only what is new, however it is cut into pieces', () => {
  expect(watch(['Hel', 'lo '], ['Hello ', 'world'])).toEqual({ text: 'Hello world', pieces: [{ type: 'text-delta', text: 'world' }] })
  expect(watch(['Hello wor'], ['Hello', ' ', 'world', '!'])).toEqual({
    text: 'Hello world!',
    pieces: [
      { type: 'text-delta', text: 'ld' },
      { type: 'text-delta', text: '!' },
    ],
  })
  expect(watch(['all of it'], ['all of it'])).toEqual({ text: 'all of it', pieces: [] })
  expect(watch([], ['fresh'])).toEqual({ text: 'fresh', pieces: [{ type: 'text-delta', text: 'fresh' }] })
})

test('a step that says something else makes its watchers forget the old pieces', () => {
  expect(watch(['Hello '], ['Hel', 'p is near'])).toEqual({
    text: 'Help is near',
    pieces: [
      { type: 'text-reset', text: undefined },
      { type: 'text-delta', text: 'Help is near' },
    ],
  })
  expect(watch(['Hello world'], ['Hello'])).toEqual({
    text: 'Hello',
    pieces: [
      { type: 'text-reset', text: undefined },
      { type: 'text-delta', text: 'Hello' },
    ],
  })
  expect(watch(['Hello'], []).text).toBe('')
})
