import { BlockList, isIP } from 'node:net'

/**
 * Who is calling: the socket's address, or the hop that a trusted proxy added to `X-Forwarded-For`. The list is walked from the right and left
 * at the first hop that no trusted proxy vouches for, so what the client itself wrote there is never reached.
 * @param trustedProxies addresses and CIDR ranges @throws at once for anything else
 */
export function addressRule(trustedProxies: string[]): (peer: string, headers: Headers) => string {
  if (trustedProxies.length === 0) return plain
  const trusted = new BlockList()
  for (const range of trustedProxies) {
    const [address = '', bits, ...rest] = range.split('/')
    const family = familyOf(address)
    if (isIP(address) === 0 || rest.length > 0) throw new Error(`The trusted proxy "${range}" is neither an IP address nor a CIDR range`)
    trusted.addSubnet(address, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family)
  }
  const isTrusted = (address: string) => isIP(address) !== 0 && trusted.check(address, familyOf(address))
  return (peer, headers) => {
    let address = plain(peer)
    const hops = headers.get('x-forwarded-for')?.split(',') ?? []
    while (isTrusted(address)) {
      const hop = plain((hops.pop() ?? '').trim())
      if (isIP(hop) === 0) break
      address = hop
    }
    return address
  }
}

const familyOf = (address: string) => (isIP(address) === 6 ? 'ipv6' : 'ipv4')

const WITH_PORT = /^(?:\[([^\]]*)\]|(\d+\.\d+\.\d+\.\d+))(?::\d+)?$/

/** IPv4 in IPv6's clothes, and the ports that some proxies write, taken off. */
function plain(address: string): string {
  if (address.startsWith('::ffff:') && isIP(address.slice(7)) === 4) return address.slice(7)
  const withPort = WITH_PORT.exec(address)
  return withPort?.[1] ?? withPort?.[2] ?? address
}
