import { parseAddress } from './outbound/address'

/** The network that an address is in, as far as one subscriber's may reach: /24 of IPv4, /64 of IPv6. What is no address stands for itself. */
export function networkOf(address: string): string {
  const bytes = parseAddress(address)?.toByteArray()
  if (bytes === undefined) return address
  const isMapped = bytes.length === 16 && bytes.slice(0, 12).join() === MAPPED
  const v4 = isMapped ? bytes.slice(12) : bytes
  if (v4.length === 4) return `${v4.slice(0, 3).join('.')}.0/24`
  return `${Buffer.from(bytes.slice(0, 8)).toString('hex')}::/64`
}

/** `::ffff:a.b.c.d`, IPv4 in IPv6's clothes. */
const MAPPED = '0,0,0,0,0,0,0,0,0,0,255,255'
