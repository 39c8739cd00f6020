import { expect, test } from 'bun:test'
import { readDrill } from './arguments'

const known = { modes: ['events', 'flood'], counted: 'mails' } as const

test('a drill is told its modes and its number, or goes by its own', () => {
  expect(readDrill(['--mode', 'flood,events', '--mails=80'], known)).toEqual({ modes: ['flood', 'events'], count: 80 })
  expect(readDrill([], known)).toEqual({ modes: undefined, count: undefined })
})

test('a drill that is asked for what it does not know refuses, instead of doing nothing and passing', () => {
  for (const args of [
    ['--mode', 'nope'],
    ['--mode', 'events,'],
    ['--mode'],
    ['--mails', '0'],
    ['--mails', '1e9'],
    ['--entries', '5'],
    ['5'],
  ])
    expect(() => readDrill(args, known)).toThrow()
  expect(() => readDrill(['--mode', 'events'], { modes: [], counted: 'entries' })).toThrow()
})
