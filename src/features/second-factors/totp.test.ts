import { expect, test } from 'bun:test'
import { newTotpSecret, stepOfCode, totpUrl } from './totp'

/** RFC 6238, appendix B: SHA-1 over the secret `12345678901234567890`; the last six of its eight digits. */
const SECRET = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ'

test.each([
  [59, '287082'],
  [1_111_111_109, '081804'],
  [1_111_111_111, '050471'],
  [1_234_567_890, '005924'],
  [2_000_000_000, '279037'],
  [20_000_000_000, '353130'],
])('RFC 6238: at second %d the code is %s, and one step before and after', (seconds, code) => {
  const step = Math.floor(seconds / 30)
  for (const shift of [-30, 0, 30]) expect(stepOfCode(SECRET, code, (seconds + shift) * 1000)).toBe(step)
  for (const shift of [-90, 90]) expect(stepOfCode(SECRET, code, (seconds + shift) * 1000)).toBeUndefined()
})

test('what is no code of six digits is none', () => {
  for (const code of ['', '28708', '2870822', '94287082', ' 287082', '２８７０８２', '28708a'])
    expect(stepOfCode(SECRET, code, 59_000)).toBeUndefined()
})

test('a secret has 160 bits, and its link names the issuer and the account', () => {
  const secret = newTotpSecret()
  expect(secret).toMatch(/^[A-Z2-7]{32}$/)
  expect(newTotpSecret()).not.toBe(secret)
  const url = new URL(totpUrl(secret, 'ada@example.com'))
  expect(url.protocol + url.host).toBe('otpauth:totp')
  expect(decodeURIComponent(url.pathname)).toBe('/Evo AI:ada@example.com')
  expect(Object.fromEntries(url.searchParams)).toEqual({ issuer: 'Evo AI', secret, algorithm: 'SHA1', digits: '6', period: '30' })
})
