import { expect, test } from 'bun:test'
import { deriveToken, hashToken } from './one-time-token'

const key = Buffer.alloc(32, 1)

test('a token is 32 letters and digits, the same for the same id and key and for no other', () => {
  const id = '01890a5d-ac96-774b-bcce-b302099a8057'
  const token = deriveToken(key, id)
  expect(token).toMatch(/^[A-Za-z0-9]{32}$/)
  expect(deriveToken(key, id)).toBe(token)
  expect(deriveToken(key, crypto.randomUUID())).not.toBe(token)
  expect(deriveToken(Buffer.alloc(32, 2), id)).not.toBe(token)
})

test('every character is as likely as every other', () => {
  const counts = new Map<string, number>()
  for (let i = 0; i < 2000; i++)
    for (const character of deriveToken(key, `id-${i}`)) counts.set(character, (counts.get(character) ?? 0) + 1)
  expect(counts.size).toBe(62)
  const expected = (2000 * 32) / 62
  // Chi-squared with 61 degrees of freedom stays under 120 with a probability of 0.99999; a plain modulo of a byte would reach about 1000.
  const chiSquared = [...counts.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
  expect(chiSquared).toBeLessThan(120)
})

test('what is stored is the SHA-256 of the token', () => {
  expect(hashToken('abc').toString('hex')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
})
