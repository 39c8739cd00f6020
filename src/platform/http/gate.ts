import { isIP } from 'node:net'
import { Elysia } from 'elysia'
import { DomainError } from '../errors'
import type { BodyLimits } from './body-limit'
import { addressRule } from './forwarded'
import { setOrigin } from './origin'
import { pathOf } from './problems'

export interface GateOptions extends BodyLimits {
  /** Host names without port; `*.example.com` and `*` are understood. */
  allowedHosts: string[]
  /** Outside production an IP address is accepted as a host name too: it cannot be rebound. */
  allowAddresses: boolean
  /** CIDR ranges whose `X-Forwarded-For` is believed. */
  trustedProxies: string[]
}

/** Before routing and before CORS: who is calling, and whether the Host is ours. What follows may then trust `request.url` to be a URL. */
export const gate = (options: Pick<GateOptions, 'allowedHosts' | 'allowAddresses' | 'trustedProxies'>) => {
  const hostAllowed = hostRule(options)
  const addressOf = addressRule(options.trustedProxies)
  return new Elysia({ name: 'gate' }).onRequest(({ request, set, server }) => {
    const origin = setOrigin(request, addressOf(server?.requestIP(request)?.address ?? '-', request.headers))
    set.headers['x-request-id'] = origin.traceId
    set.headers['x-content-type-options'] = 'nosniff'
    if (!hostAllowed(request.headers.get('host')) && !isProbe(request))
      throw new DomainError('misdirected-request', 'This server does not answer for that host.')
  })
}

const PROBES = new Set(['/livez', '/readyz'])

/** Balancers ask a container by its address, or in HTTP/1.0 with no Host at all: that is answered to whoever reaches the port, and holds nothing of anybody. */
function isProbe({ method, url, headers }: Request): boolean {
  const host = headers.get('host')
  return (method === 'GET' || method === 'HEAD') && PROBES.has(pathOf(url)) && (host === null || isAddress(hostName(host)))
}

// A host name of RFC 1123, an IPv4 address or a bracketed IPv6 address, with an optional port. Two Host headers arrive as one with a comma.
const HOST =
  /^(?:([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*)\.?|(\[[0-9a-f:.]{2,45}\]))(?::(\d{1,5}))?$/i
const MAX_REMEMBERED = 1000

/** In lower case and without the port; undefined for what is no host. */
function hostName(header: string): string | undefined {
  const [, name, bracketed, port = '0'] = HOST.exec(header) ?? []
  return Number(port) > 65_535 ? undefined : (name ?? bracketed)?.toLowerCase()
}

const isAddress = (name: string | undefined) => name !== undefined && isIP(name.replace(/^\[|\]$/g, '')) !== 0

function hostRule({ allowedHosts, allowAddresses }: Pick<GateOptions, 'allowedHosts' | 'allowAddresses'>) {
  const exact = new Set(allowedHosts.map((host) => host.toLowerCase()))
  const suffixes = allowedHosts.filter((host) => host.startsWith('*.')).map((host) => host.slice(1).toLowerCase())
  const isAllowed = (header: string): boolean => {
    const name = hostName(header)
    if (name === undefined) return false
    if (exact.has(name) || exact.has('*')) return true
    if (allowAddresses && isAddress(name)) return true
    return suffixes.some((suffix) => name.endsWith(suffix))
  }
  // Nearly every request names one of a few hosts: the answer is remembered, as long as a wildcard does not make them many.
  const known = new Set<string>()
  return (header: string | null): boolean => {
    if (header === null) return false
    if (known.has(header)) return true
    const allowed = isAllowed(header)
    if (allowed && known.size < MAX_REMEMBERED) known.add(header)
    return allowed
  }
}
