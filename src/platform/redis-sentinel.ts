import { backOff, type ConnectionOptions, parseUrls, type Sentinels } from './redis-link'

/** A Sentinel that is silent for so long is passed over. */
const SENTINEL_TIMEOUT_MS = 1000

/**
 * For connections to the master that Sentinels know. They are asked each time that one is made, and what they name is asked whether it is one; Sentinels
 * cut the connections of a master that they demote. User, password and database of the URLs are the servers', TLS is for both.
 */
export function toMaster(url: string, { master, password }: Sentinels): ConnectionOptions {
  const { addresses, access, db } = parseUrls(url, { defaultPort: 26_379 })
  return {
    ...access,
    ...(access.tls === undefined ? {} : { enableTLSForSentinelMode: true, sentinelTLS: access.tls }),
    ...(password === undefined ? {} : { sentinelPassword: password }),
    db,
    sentinels: addresses,
    name: master,
    sentinelCommandTimeout: SENTINEL_TIMEOUT_MS,
    sentinelRetryStrategy: backOff,
  }
}
