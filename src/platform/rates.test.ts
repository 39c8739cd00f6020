import { expect, test } from 'bun:test'
import { addressSubject, createLocalRates, rateHeaders, rateOf } from './rates'

test('the headers say what is left, and when all of it is there again', () => {
  expect(rateHeaders(rateOf('read', 60, 1000))).toEqual({ 'ratelimit-policy': '"read";q=60;w=60', ratelimit: '"read";r=59;t=1' })
  expect(rateOf('read', 60, 60_000)).toMatchObject({ remaining: 0, resetSeconds: 60 })
})

test('an IPv6 network is one address, however it is spelt', () => {
  const one = addressSubject('2001:db8:0:7::1')
  expect(one).toBe('address:2001:db8:0:7::/64')
  for (const spelling of ['2001:DB8:0:7:ffff:ffff:ffff:ffff', '2001:0db8:0000:0007:0:0:0:2', '2001:db8:0:7:1::', '2001:db8:0:7::%eth0'])
    expect(addressSubject(spelling)).toBe(one)
  expect(addressSubject('2001:db8:0:8::1')).not.toBe(one)
  expect(addressSubject('::1')).toBe('address:0:0:0:0::/64')
  expect(addressSubject('64:ff9b::192.0.2.1')).toBe('address:64:ff9b:0:0::/64')
  expect(addressSubject('192.0.2.7')).toBe('address:192.0.2.7')
  expect(addressSubject('-')).toBe('address:-')
})

test('F-01: without Redis a process allows its share, at sign-in half of it, and never everything', () => {
  const admit = createLocalRates({ perMinute: { read: 400, 'sign-in': 80, chat: 1 }, processes: 4 })
  const admitted = (subject: string, rateClass: 'read' | 'sign-in' | 'chat') => {
    for (let count = 0; ; count++) {
      try {
        admit(subject, rateClass)
      } catch (error) {
        expect(error).toMatchObject({ problem: 'rate-limited', retryAfterSeconds: expect.any(Number) })
        return count
      }
    }
  }
  expect(admitted('a', 'read')).toBeWithin(100, 103)
  expect(admitted('a', 'sign-in')).toBe(10)
  expect(admitted('b', 'sign-in')).toBe(10)
  expect(admitted('a', 'chat')).toBe(1)
})
