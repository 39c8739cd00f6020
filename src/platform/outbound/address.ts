import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

export type Address = ipaddr.IPv4 | ipaddr.IPv6

/** The whole of what is assigned for global unicast (RFC 4291 §2.4); outside lie `::a.b.c.d`, NAT64, ULA, link-local and what comes next. */
const GLOBAL_UNICAST_V6 = ipaddr.IPv6.parseCIDR('2000::/3')

/** Azure's host agent: a routable number that every virtual machine there reaches as its metadata service. */
const METADATA = new Set(['168.63.129.16'])

/** Undefined for a name, and for an address with a zone, which is local by definition. */
export const parseAddress = (text: string): Address | undefined => (isIP(text) === 0 || text.includes('%') ? undefined : ipaddr.parse(text))

/**
 * Globally routable unicast by IANA's special-purpose registries. An IPv6 address that carries an IPv4 one (mapped, compatible, 6to4, Teredo,
 * NAT64) is refused whatever it carries: where it ends depends on the network's translators.
 */
export const isPublic = (address: Address): boolean =>
  address.range() === 'unicast' && !METADATA.has(address.toString()) && (address instanceof ipaddr.IPv4 || address.match(GLOBAL_UNICAST_V6))
