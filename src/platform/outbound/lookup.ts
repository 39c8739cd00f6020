import { lookup as lookupName } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { DomainError } from '../errors'
import type { Rules } from './rules'

export interface ResolvedAddress {
  address: string
  family: number
}

export type LookupLike = (hostname: string) => Promise<ResolvedAddress[]>

export const systemLookup: LookupLike = (hostname) => lookupName(hostname, { all: true })

/** The connection tries the addresses one after the other. */
const MAX_ADDRESSES = 8

/**
 * The hook that node:http resolves a name with. It connects to what the hook returns and asks nobody else, so the checked address is the
 * connected one. One refused address refuses the name: an attacker may mix private with public ones. Literals do not come here.
 */
export function createGuardedLookup({
  rules,
  url,
  lookup,
  signal,
}: {
  rules: Rules
  url: URL
  lookup: LookupLike
  signal: AbortSignal
}): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname).then(
      (found) => {
        const [first] = found
        if (signal.aborted) return callback(signal.reason, [])
        if (first === undefined) return callback(new Error('no address'), [])
        if (!found.every(({ address }) => rules.permits(url, address)))
          return callback(new DomainError('url-not-allowed', 'This host leads to an address or port that is not allowed.'), [])
        if (options.all) callback(null, found.slice(0, MAX_ADDRESSES))
        else callback(null, first.address, first.family)
      },
      (error) => callback(error, []),
    )
  }
}

const LOOKUP_MS = 5000

/** @throws DomainError `url-not-allowed` for a name that leads to a refused address, or nowhere */
export async function checkResolved(rules: Rules, url: URL, lookup: LookupLike): Promise<URL> {
  const { hostname } = url
  if (isIP(hostname.replace(/^\[|\]$/g, '')) !== 0) return url
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error('the name could not be looked up in time')), LOOKUP_MS)
  const found = await Promise.race([lookup(hostname), late.promise])
    .catch((cause) => {
      throw new DomainError('url-not-allowed', 'This host leads nowhere.', { cause })
    })
    .finally(() => clearTimeout(timer))
  if (found.length === 0 || !found.every(({ address }) => rules.permits(url, address)))
    throw new DomainError('url-not-allowed', 'This host leads to an address or port that is not allowed.')
  return url
}
