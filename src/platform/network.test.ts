import { expect, test } from 'bun:test'
import { networkOf } from './network'

test('a network is a /24 of IPv4 and a /64 of IPv6, however the address is written', () => {
  expect(networkOf('10.1.2.3')).toBe('10.1.2.0/24')
  expect(networkOf('::ffff:10.1.2.200')).toBe('10.1.2.0/24')
  expect(networkOf('::ffff:a01:2c8')).toBe('10.1.2.0/24')
  expect(networkOf('2001:db8:1:2:3:4:5:6')).toBe('20010db800010002::/64')
  expect(networkOf('2001:DB8:1:2::1')).toBe('20010db800010002::/64')
  expect(networkOf('2001:db8:1:3::1')).not.toBe(networkOf('2001:db8:1:2::1'))
  expect(networkOf('-')).toBe('-')
})
