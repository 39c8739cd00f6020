const FIRST_MS = 5000
const MOST_MS = 300_000
const MOST_ASKED_MS = 3_600_000

/** Doubles from 5 s to 5 min and takes off up to half, so that mails refused together do not come back together; never before the provider wants it. */
export function retryDelayMs(attempt: number, askedMs = 0, { random = Math.random, firstMs = FIRST_MS } = {}): number {
  const grown = Math.min(MOST_MS, firstMs * 2 ** Math.min(attempt - 1, 10))
  return Math.max(Math.round(grown * (0.5 + random() / 2)), Math.min(askedMs, MOST_ASKED_MS))
}
