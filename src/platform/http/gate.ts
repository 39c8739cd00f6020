import { BlockList, isIP } from 'node:net'
import { Elysia } from 'elysia'
import { DomainError } from '../errors'
import { setOrigin } from './origin'
import { pathOf } from './problems'

export interface GateOptions {
  /** Host names without port; `*.example.com` and `*` are understood. */
  allowedHosts: string[]
  /** Outside production an IP address is accepted as a host name too: it cannot be rebound. */
  allowAddresses: boolean
  /** CIDR ranges whose `X-Forwarded-For` is believed. */
  trustedProxies: string[]
  maxBodyBytes: number
  /** Path prefixes that carry files, with their own limit. */
  uploads: { prefixes: string[]; maxBytes: number }
}

/**
 * What is decided before routing: who is calling, whether the Host is ours, whether path and query are well-formed, whether the declared body fits.
 * The app's very first plugin.
 */
export const gate = (options: GateOptions) => {
  const hostAllowed = hostRule(options)
  const addressOf = addressRule(options.trustedProxies)
  return new Elysia({ name: 'gate' }).onRequest(({ request, set, server }) => {
    const peer = server?.requestIP(request)?.address ?? '-'
    const origin = setOrigin(request, addressOf(peer, request.headers.get('x-forwarded-for')))
    set.headers['x-request-id'] = origin.traceId
    set.headers['x-content-type-options'] = 'nosniff'
    if (!hostAllowed(request.headers.get('host')))
      throw new DomainError('misdirected-request', 'This server does not answer for that host.')
    checkPath(pathOf(request.url))
    const queryAt = request.url.indexOf('?')
    if (queryAt !== -1) checkQuery(request.url.slice(queryAt + 1))
    const declared = request.headers.get('content-length')
    if (declared !== null && Number(declared) > bodyLimit(options, pathOf(request.url))) throw tooLarge()
  })
}

export const tooLarge = () => new DomainError('payload-too-large', 'The body is larger than this route takes.')

export const bodyLimit = ({ maxBodyBytes, uploads }: Pick<GateOptions, 'maxBodyBytes' | 'uploads'>, path: string) =>
  uploads.prefixes.some((prefix) => path.startsWith(prefix)) ? uploads.maxBytes : maxBodyBytes

// A host name of RFC 1123, an IPv4 address or a bracketed IPv6 address, with an optional port.
const HOST =
  /^(?:([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*)\.?|(\[[0-9a-f:.]{2,45}\]))(?::\d{1,5})?$/i

function hostRule({ allowedHosts, allowAddresses }: GateOptions) {
  const exact = new Set(allowedHosts.map((host) => host.toLowerCase()))
  const suffixes = allowedHosts.filter((host) => host.startsWith('*.')).map((host) => host.slice(1).toLowerCase())
  return (header: string | null): boolean => {
    const match = header?.match(HOST)
    const name = (match?.[1] ?? match?.[2])?.toLowerCase()
    if (name === undefined) return false
    if (exact.has(name) || exact.has('*')) return true
    if (allowAddresses && isIP(name.replace(/^\[|\]$/g, '')) !== 0) return true
    return suffixes.some((suffix) => name.endsWith(suffix))
  }
}

/** Walks X-Forwarded-For from the right and stops at the first hop that no trusted proxy vouches for. */
function addressRule(trustedProxies: string[]) {
  const trusted = new BlockList()
  for (const range of trustedProxies) {
    const [address = '', bits] = range.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (isIP(address) !== 0) trusted.addSubnet(address, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family)
  }
  const isTrusted = (address: string) => isIP(address) !== 0 && trusted.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  return (peer: string, forwardedFor: string | null): string => {
    let address = plain(peer)
    if (forwardedFor === null || trustedProxies.length === 0) return address
    const hops = forwardedFor.split(',').map((hop) => plain(hop.trim()))
    while (isTrusted(address)) {
      const hop = hops.pop()
      if (hop === undefined || isIP(hop) === 0) break
      address = hop
    }
    return address
  }
}

const plain = (address: string) => (address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address)

function checkPath(path: string) {
  if (!path.includes('%')) return
  let decoded: string
  try {
    decoded = decodeURIComponent(path)
  } catch (cause) {
    throw new DomainError('malformed-request', 'The path is not valid percent-encoded UTF-8.', { cause })
  }
  if (hasControl(decoded)) throw refused('/path', 'The path holds a control character.')
}

function checkQuery(query: string) {
  if (query === '') return
  const names = new Set<string>()
  for (const pair of query.split('&')) {
    const at = pair.indexOf('=')
    let name: string
    let value: string
    try {
      name = decodeURIComponent(at === -1 ? pair : pair.slice(0, at))
      value = at === -1 ? '' : decodeURIComponent(pair.slice(at + 1).replaceAll('+', ' '))
    } catch (cause) {
      throw new DomainError('malformed-request', 'The query is not valid percent-encoded UTF-8.', { cause })
    }
    if (hasControl(name) || hasControl(value)) throw refused('/query', 'The query holds a control character.')
    if (names.has(name)) throw refused(`/query/${name.slice(0, 40)}`, 'This parameter was given twice.')
    names.add(name)
  }
}

const refused = (pointer: string, message: string) =>
  new DomainError('validation-failed', message, { errors: [{ pointer, code: 'invalid', message }] })

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const hasControl = (text: string) => /[\u0000-\u001f\u007f]/.test(text)
