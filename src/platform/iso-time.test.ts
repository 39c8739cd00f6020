import { expect, test } from 'bun:test'
import { toIso } from './iso-time'

test('a moment is shown as a Date would show it, however many digits PostgreSQL writes', () => {
  const moments = ['.445123', '.999999', '.000999', '.44512', '.445', '.4', ''].flatMap((fraction) =>
    ['+00', '+02', '+05:30'].map((zone) => `2026-02-28 23:59:59${fraction}${zone}`),
  )
  for (const text of moments) expect(`${text} ${toIso(text)}`).toBe(`${text} ${new Date(text).toISOString()}`)
  expect(toIso('2026-02-28 23:59:59.999999+00')).toBe('2026-02-28T23:59:59.999Z')
  // As long as the usual one, with a year of five digits.
  expect(toIso('12026-02-28 23:59:59.99999+00')).toBe('+012026-02-28T23:59:59.999Z')
})
