import { expect, test } from 'bun:test'
import { createRefreshTokens, hashRefreshToken } from './refresh-token'

const tokens = createRefreshTokens({ keys: [Buffer.alloc(32, 1)] })
const sessionId = '01a20767-d057-7446-adb0-53d60ac7ac55'

test('a token names its sign-in and generation, and is read back as it was written', () => {
  const first = tokens.first(sessionId)
  expect(first.text).toStartWith('evo_rt_')
  expect(tokens.read(first.text)).toEqual(first)
  expect(tokens.read(tokens.next(first).text)).toEqual({ ...tokens.next(first) })
  expect(tokens.next(first)).toMatchObject({ sessionId, generation: 1, isSealed: true })
})

test('a successor is the same each time, different for each token, and cannot be made without the key', () => {
  const [one, other] = [tokens.first(sessionId), tokens.first(sessionId)]
  expect(tokens.next(one)).toEqual(tokens.next(one))
  expect(tokens.next(one).text).not.toBe(tokens.next(other).text)
  expect(createRefreshTokens({ keys: [Buffer.alloc(32, 2)] }).next(one).text).not.toBe(tokens.next(one).text)
  expect(hashRefreshToken(one)).not.toEqual(hashRefreshToken(other))
})

test('what was changed or made with another key carries no seal', () => {
  const { text } = tokens.first(sessionId)
  const bytes = Buffer.from(text.slice(7), 'base64url')
  for (let index = 0; index < bytes.length; index++) {
    const forged = Buffer.from(bytes)
    forged[index] = (forged[index] ?? 0) ^ 1
    expect([index, tokens.read(`evo_rt_${forged.toString('base64url')}`)?.isSealed]).toEqual([index, false])
  }
  expect(createRefreshTokens({ keys: [Buffer.alloc(32, 2)] }).read(text)?.isSealed).toBe(false)
})

test('a token has one spelling', () => {
  const { text } = tokens.first(sessionId)
  const last = text.at(-1) ?? ''
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const twin = text.slice(0, -1) + alphabet[alphabet.indexOf(last) ^ 1]
  for (const spelling of ['', 'evo_rt_', `${text}=`, ` ${text}`, `${text}\n`, text.toUpperCase(), text.slice(0, -1), `${text}A`, twin])
    expect([spelling, tokens.read(spelling)]).toEqual([spelling, undefined])
})

test('a chain goes on with the key that it began with, as long as that is there', () => {
  const [older, newer] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
  const first = tokens.first(sessionId)
  const both = createRefreshTokens({ keys: [newer, older] })
  expect(both.read(first.text)?.isSealed).toBe(true)
  expect(both.next(first)).toEqual(tokens.next(first))
  const fresh = both.first(sessionId)
  expect(createRefreshTokens({ keys: [newer] }).read(fresh.text)?.isSealed).toBe(true)
  expect(createRefreshTokens({ keys: [newer] }).next(first).text).not.toBe(tokens.next(first).text)
})
