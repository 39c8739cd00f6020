import { isIP } from 'node:net'
import { parseTarget, type TlsSetting } from '~/platform/db/target'
import { createRules } from '~/platform/outbound/rules'

/** What an item of a list has to look like. Each function returns it as the server compares it, or undefined when it is malformed. */

/** `*`, or scheme, host and port as a browser sends them: nothing behind, for it would never match. */
export function parseOrigin(text: string): string | undefined {
  if (text === '*') return text
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s]+\/?$/i.test(text) || !URL.canParse(text)) return undefined
  const { origin } = new URL(text)
  return origin === 'null' ? text.toLowerCase().replace(/\/$/, '') : origin
}

/** `*`, `*.example.com`, a host name, an IPv4 address or an IPv6 address in brackets; without scheme and port. */
export function parseHostPattern(text: string): string | undefined {
  if (text === '*') return text
  const [, bracketed] = /^\[([^\]]+)\]$/.exec(text) ?? []
  if (bracketed !== undefined) return isIP(bracketed) === 6 ? text.toLowerCase() : undefined
  return HOST_PATTERN.test(text) ? text.toLowerCase() : undefined
}

const HOST_PATTERN = /^(?:\*\.)?[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/i

/** An IP address, or a range of them in CIDR notation. */
export function parseRange(text: string): string | undefined {
  const [, address = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const family = isIP(address)
  if (family === 0 || address.includes('%')) return undefined
  return bits === undefined || Number(bits) <= (family === 6 ? 128 : 32) ? text : undefined
}

/** What the outbound guard takes as an exception. */
export function parseOutboundEntry(text: string): string | undefined {
  const port = /:(\d+)$/.exec(text)?.[1]
  if (!text.includes('/') && isIP(text) !== 6 && port !== undefined && !(Number(port) > 0 && Number(port) < 65_536)) return undefined
  try {
    createRules({ allow: [text], allowedPorts: [] })
    return text
  } catch {
    return undefined // it says so too, in its own words
  }
}

/** Why this is no URL of a database; undefined when it is one. The answer never repeats the URL. */
export function faultOfDatabaseUrl(url: string, tls: TlsSetting): string | undefined {
  try {
    parseTarget(url, tls)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Why this is no URL of a Redis, or of several, separated by commas; undefined when it is. */
export function faultOfRedisUrl(given: string, { hasSeveral = false, isCluster = false } = {}): string | undefined {
  const faults = (hasSeveral ? given.split(',') : [given]).map((url) => faultOfServerUrl(url.trim(), isCluster))
  return faults.find((fault) => fault !== undefined)
}

function faultOfServerUrl(url: string, isCluster: boolean): string | undefined {
  if (!/^rediss?:\/\//i.test(url) || !URL.canParse(url)) return 'it is not of the form redis://user:password@host:port/number'
  const { hostname, pathname } = new URL(url)
  if (hostname === '') return 'it names no host'
  if (isCluster) return /^\/?0?$/.test(pathname) ? undefined : 'a cluster has no databases but 0'
  return /^\/?\d{0,4}$/.test(pathname) ? undefined : 'its path is not the number of a database'
}
