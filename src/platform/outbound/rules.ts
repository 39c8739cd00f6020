import ipaddr from 'ipaddr.js'
import { DomainError } from '../errors'
import { type Address, isPublic, parseAddress } from './address'

export interface Rules {
  /** Throws `url-not-allowed`; no message repeats any part of the URL. */
  check(url: string): URL
  /** Whether `address`, to which the URL's host resolved, may be connected to. */
  permits(url: URL, address: string): boolean
}

/** One exception: a name or a range of addresses, on one port or on all. */
interface Entry {
  name?: string
  range?: [Address, number]
  port?: number
}

const MAX_URL_LENGTH = 8192
const NAME = /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/
/** Names that never lead to the public network (RFC 6761, RFC 6762, RFC 8375, ICANN's private-use domain). */
const LOCAL_NAME = /(^|\.)(localhost|local|internal|home\.arpa)$/

export function createRules({ allow, allowedPorts }: { allow: string[]; allowedPorts: number[] }): Rules {
  const entries = allow.map(parseEntry)
  const ports = new Set(allowedPorts)

  const isListedName = (name: string, port: number) =>
    entries.some((entry) => entry.name === name && (entry.port === undefined || entry.port === port))

  const isListedAddress = (address: Address, port: number) =>
    entries.some(
      ({ range, port: only }) =>
        range !== undefined && range[0].kind() === address.kind() && address.match(range) && (only === undefined || only === port),
    )

  const permits = (url: URL, text: string) => {
    const port = portOf(url)
    const address = parseAddress(text)
    if (address === undefined) return false
    return isListedName(nameOf(url), port) || isListedAddress(address, port) || (ports.has(port) && isPublic(address))
  }

  return {
    permits,
    check(text) {
      const url = parse(text)
      const name = nameOf(url)
      if (parseAddress(name) !== undefined) {
        if (!permits(url, name)) throw refused('This address or port is not allowed.')
        return url
      }
      const port = portOf(url)
      if (isListedName(name, port)) return url
      if (!NAME.test(name) || !name.includes('.') || LOCAL_NAME.test(name)) throw refused('This host is not allowed.')
      // On another port a name may still lead into a listed range: that is decided when it is looked up.
      if (!ports.has(port) && !entries.some((entry) => entry.range && (entry.port === undefined || entry.port === port)))
        throw refused('This port is not allowed.')
      return url
    },
  }
}

function parse(text: string): URL {
  // The parser would drop or trim these, and then others may read the URL differently.
  if (text.length > MAX_URL_LENGTH || /[\p{Cc}\s\\]/u.test(text) || !URL.canParse(text)) throw refused('This is not a valid URL.')
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw refused('Only http and https URLs are allowed.')
  if (url.username !== '' || url.password !== '') throw refused('A URL must not hold credentials.')
  return url
}

const refused = (detail: string) => new DomainError('url-not-allowed', detail)

/** Without brackets and without the root's dot. */
const nameOf = ({ hostname }: URL) => hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '')

const portOf = ({ port, protocol }: URL) => (port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port))

function parseEntry(entry: string): Entry {
  if (ipaddr.IPv4.isValidCIDRFourPartDecimal(entry) || ipaddr.IPv6.isValidCIDR(entry)) return { range: ipaddr.parseCIDR(entry) }
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(entry) ?? []
  const host = (bracketed ?? plain ?? entry).toLowerCase().replace(/\.$/, '')
  const address = parseAddress(host)
  if (address === undefined && (bracketed !== undefined || !NAME.test(host)))
    throw new Error(`"${entry}" is no host, host:port or CIDR range`)
  return {
    ...(address === undefined ? { name: host } : { range: [address, address.kind() === 'ipv4' ? 32 : 128] }),
    ...(port === undefined ? {} : { port: Number(port) }),
  }
}
