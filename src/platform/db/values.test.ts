import { expect, test } from 'bun:test'
import { driverTypes, encodeParameters, parseArray } from './values'

test('an array comes back as it was written, whatever is in it', () => {
  const items = ['', 'a', 'NULL', '{}', 'a"b', 'a\\b', 'a,b', ' ', 'ü\n', null, '\\"']
  const [literal] = encodeParameters([items])
  expect(parseArray(literal as string, String)).toEqual(items)
  expect(parseArray('{{1,2},{3,NULL}}', Number)).toEqual([
    [1, 2],
    [3, null],
  ])
  expect(parseArray('{}', String)).toEqual([])
})

test('parameters that the driver would choke on are refused before anything is sent', () => {
  for (const value of [undefined, Symbol('x'), () => 1, new Date(Number.NaN)]) expect(() => encodeParameters([value])).toThrow()
  expect(() => encodeParameters(Array.from({ length: 70_000 }, () => 1))).toThrow(RangeError)
  expect(encodeParameters([{ a: [1] }, 9007199254740993n, null, true])).toEqual(['{"a":[1]}', '9007199254740993', null, true])
})

test('integers keep every digit, booleans their text form', () => {
  expect(driverTypes.integer.parse('9007199254740991')).toBe(9007199254740991)
  expect(driverTypes.integer.parse('-9007199254740993')).toBe(-9007199254740993n)
  expect(driverTypes.boolean.serialize('true')).toBe('true')
})
