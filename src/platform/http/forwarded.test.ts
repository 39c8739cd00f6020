import { expect, test } from 'bun:test'
import { addressRule } from './forwarded'

const seen = (trusted: string[], peer: string, forwardedFor?: string) =>
  addressRule(trusted)(peer, new Headers(forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor }))

test('without trusted proxies the socket’s address is the caller’s, whatever a header says', () => {
  expect(seen([], '203.0.113.1', '8.8.8.8')).toBe('203.0.113.1')
  expect(seen([], '::ffff:203.0.113.1', '8.8.8.8')).toBe('203.0.113.1')
  expect(seen(['10.0.0.0/8'], '203.0.113.1', '8.8.8.8')).toBe('203.0.113.1')
})

test('of a trusted proxy’s list only the hop that no trusted proxy vouches for counts', () => {
  const trusted = ['10.0.0.0/8', '192.0.2.5', 'fd00::/8']
  expect(seen(trusted, '10.1.1.1', '203.0.113.9')).toBe('203.0.113.9')
  expect(seen(trusted, '10.1.1.1', '8.8.8.8, 203.0.113.9')).toBe('203.0.113.9')
  expect(seen(trusted, '10.1.1.1', '8.8.8.8, 203.0.113.9, 192.0.2.5 ,10.2.2.2')).toBe('203.0.113.9')
  expect(seen(trusted, '::ffff:10.1.1.1', '203.0.113.9')).toBe('203.0.113.9')
  expect(seen(trusted, 'fd12::1', '2001:db8::7')).toBe('2001:db8::7')
  expect(seen(trusted, '10.1.1.1', '203.0.113.9:51234')).toBe('203.0.113.9')
  expect(seen(trusted, '10.1.1.1', '[2001:db8::7]:51234')).toBe('2001:db8::7')
})

test('a list that is broken or used up leaves the last address that is known', () => {
  const trusted = ['10.0.0.0/8']
  expect(seen(trusted, '10.1.1.1')).toBe('10.1.1.1')
  expect(seen(trusted, '10.1.1.1', '')).toBe('10.1.1.1')
  expect(seen(trusted, '10.1.1.1', '10.2.2.2')).toBe('10.2.2.2')
  expect(seen(trusted, '10.1.1.1', '203.0.113.9, unknown')).toBe('10.1.1.1')
  expect(seen(trusted, '10.1.1.1', '203.0.113.9, 10.2.2.2, <script>, 10.3.3.3')).toBe('10.3.3.3')
  expect(seen(trusted, '-', '203.0.113.9')).toBe('-')
})

test('a proxy that is no address stops the start instead of being ignored', () => {
  for (const range of ['proxy.internal', '10.0.0.0/33', '10.0.0/8', '::1/129', '10.0.0.0/8/8', '10.0.0.0/x', ''])
    expect(() => addressRule([range])).toThrow()
})
