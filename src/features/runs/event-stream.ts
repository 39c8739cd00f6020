import { sse } from 'elysia'
import { type StoredEvent, showEvent } from '~/features/sessions/event-view'
import { DomainError } from '~/platform/errors'
import type { AgentEvent } from '~/runtime/types'
import type { LogEvent, RunFailure } from './log-event'

/** A comment keeps proxies and idle timeouts from cutting a quiet stream; clients ignore it (HTML §9.2.6). A mere string would go out as data. */
const HEARTBEAT = { sse: true, toSSE: () => ': ping\n\n' }

/** What a browser waits before it comes back. */
const RETRY_MS = 1000

const INTERNAL = new DomainError('internal', 'Something failed on our side.')

/**
 * A run's log as server-sent events: `id` is the entry's number, for `Last-Event-ID`; `event` its type.
 * When it is cut off by us, `error` says why: it has no `id`, for it is no part of the log.
 * The handler itself must be an `async function*` around this: an error before the first entry then keeps its HTTP status. Returns whether there was any.
 */
export async function* eventStream(entries: AsyncIterable<LogEvent | undefined>) {
  let begun = false
  try {
    for await (const entry of entries) {
      begun = true
      if (entry === undefined) yield HEARTBEAT
      else yield sse({ ...idOf(entry), event: entry.type, data: showLogEvent(entry) })
    }
  } catch (error) {
    if (!begun) throw error
    // What is no DomainError tells nothing to a client; the process that runs the turn has logged it.
    const { problem, message: detail } = error instanceof DomainError ? error : INTERNAL
    yield sse({ event: 'error', retry: RETRY_MS, data: { problem, detail } satisfies RunFailure })
  }
  return begun
}

/** What is no entry of the log has none: nobody can come back to it. */
const idOf = ({ seq }: LogEvent) => (seq === 0 ? {} : { id: String(seq) })

export const showLogEvent = (entry: LogEvent): Record<string, unknown> =>
  entry.type === 'message' ? { ...showEvent(storedEventOf(entry)) } : entry.data

/** The whole event that a `message` entry shows. */
export function storedEventOf({ data }: LogEvent): StoredEvent {
  const { id, run_id, timestamp, event } = data as { id: string; run_id: string; timestamp: number; event: AgentEvent }
  return {
    id,
    runId: run_id,
    author: event.author,
    content: event.content,
    actions: event.actions ?? {},
    branch: event.branch ?? null,
    errorCode: null,
    errorMessage: null,
    timestamp,
  }
}

/** `Last-Event-ID` of a request: 0 when there is none. @throws DomainError `malformed-request` */
export function lastEventId(request: Request): number {
  const header = request.headers.get('last-event-id')
  if (header === null || header === '') return 0
  if (!/^\d{1,15}$/.test(header)) throw new DomainError('malformed-request', 'Last-Event-ID must be the id of an event of this run.')
  return Number(header)
}
