import { Elysia } from 'elysia'

const METHODS = 'GET, POST, PUT, DELETE'
const REQUEST_HEADERS = 'authorization, x-api-key, x-client-id, content-type, idempotency-key, if-match, last-event-id, traceparent'
const RESPONSE_HEADERS = 'x-request-id, x-total-count, link, etag, retry-after, ratelimit, ratelimit-policy'
const MAX_AGE_SECONDS = '600'

/**
 * Which other origins a browser lets read our answers (Fetch standard §3.3): those of the list, `*` for any; never with credentials, since callers show a
 * token. Says so only where a request names its origin: programs do not, and each header costs every answer. A preflight is answered before routing.
 */
export function cors(origins: string[]) {
  const isOpen = origins.includes('*')
  const allowed = new Set(origins)
  return new Elysia({ name: 'cors' }).onRequest(({ request, set }) => {
    // On every answer, also where there is no origin: a cache must not give it to one.
    set.headers.vary = 'Origin'
    const origin = request.headers.get('origin')
    const isPreflight = request.method === 'OPTIONS'
    if (origin !== null && (isOpen || allowed.has(origin))) {
      set.headers['access-control-allow-origin'] = isOpen ? '*' : origin
      if (isPreflight) {
        set.headers['access-control-allow-methods'] = METHODS
        set.headers['access-control-allow-headers'] = REQUEST_HEADERS
        set.headers['access-control-max-age'] = MAX_AGE_SECONDS
      } else set.headers['access-control-expose-headers'] = RESPONSE_HEADERS
    }
    return isPreflight ? new Response(null, { status: 204 }) : undefined
  })
}
