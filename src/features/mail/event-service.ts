import type { KeyObject } from 'node:crypto'
import type { Clock } from '~/platform/clock'
import type { Database } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import type { Log } from '~/platform/log'
import { type MailEvent, readEvent, stateAfter, suppressionBy } from './events'
import { insertEvents, insertSuppressions, type Move, moveDeliveries } from './queries/events'
import { isSigned, type Signed } from './signature'
import { DELIVERY_STATES } from './table'

export type MailEventService = ReturnType<typeof createMailEventService>

interface Deps {
  database: Database
  log: Log
  clock: Clock
  /** Undefined: no provider may report, since nobody could tell that it is the one. */
  key: KeyObject | undefined
  /** How far the timestamp of a report may be from now. */
  toleranceSeconds: number
}

/** SendGrid sends a few hundred at most. */
const MAX_EVENTS = 5000

/** What the mail provider reports about mails that it was given. */
export const createMailEventService = ({ database, log, clock, key, toleranceSeconds }: Deps) => ({
  /**
   * Keeps the events of a report and moves the mails on that they are about. Repetition and disorder change nothing.
   * @throws DomainError `dependency-unavailable` without a key, `invalid-signature`, and `malformed-request` for what is signed and yet no report
   */
  async receive(report: Signed): Promise<{ received: number; fresh: number }> {
    if (key === undefined)
      throw new DomainError('dependency-unavailable', 'The key that signs these events is not configured.', { retryAfterSeconds: 3600 })
    const ageMs = Math.abs(clock.now() - Number(report.timestamp) * 1000)
    if (!isSigned(key, report) || ageMs > toleranceSeconds * 1000)
      throw new DomainError('invalid-signature', 'The signature does not fit the body, or is too old.')
    const events = readReport(report.body)
    const fresh = await database.transaction(async (tx) => {
      const isNew = await insertEvents(tx, events)
      const those = events.filter(({ sg_event_id }) => isNew.has(sg_event_id))
      const moves = movesOf(those)
      if (moves.length > 0) await moveDeliveries(tx, moves)
      const suppressions = suppressionsOf(those)
      if (suppressions.length > 0) await insertSuppressions(tx, suppressions)
      return those
    })
    log.info('mail events received', { events: events.length, fresh: fresh.length })
    return { received: events.length, fresh: fresh.length }
  },
})

function readReport(body: Uint8Array): MailEvent[] {
  let report: unknown
  try {
    report = JSON.parse(new TextDecoder().decode(body))
  } catch (cause) {
    throw new DomainError('malformed-request', 'The body is not valid JSON.', { cause })
  }
  if (!Array.isArray(report) || report.length > MAX_EVENTS)
    throw new DomainError('malformed-request', `The body must be a list of at most ${MAX_EVENTS} events.`)
  const events = report.flatMap((event) => readEvent(event) ?? [])
  return [...new Map(events.map((event) => [event.sg_event_id, event])).values()]
}

/** One for each mail: the furthest that the events tell of. In one order always, so that reports at the same time do not dead-lock. */
function movesOf(events: MailEvent[]): Move[] {
  const moves = new Map<string, Move>()
  for (const event of events) {
    const state = stateAfter(event)
    if (state === undefined || event.delivery_id === null) continue
    const known = moves.get(event.delivery_id)
    if (known !== undefined && DELIVERY_STATES.indexOf(known.state) >= DELIVERY_STATES.indexOf(state)) continue
    const { reason, sg_message_id: messageId } = event.details
    moves.set(event.delivery_id, {
      delivery_id: event.delivery_id,
      state,
      occurred_at: event.occurred_at,
      message_id: typeof messageId === 'string' ? (messageId.split('.')[0] ?? null) : null,
      reason: typeof reason === 'string' ? reason : null,
    })
  }
  return [...moves.values()].sort((a, b) => (a.delivery_id < b.delivery_id ? -1 : 1))
}

/** Only of mails that name one of ours: a foreign report must not silence an address. */
const suppressionsOf = (events: MailEvent[]) =>
  events.flatMap((event) => {
    const reason = suppressionBy(event)
    return reason === undefined || event.email === null || event.delivery_id === null ? [] : [{ email: event.email, reason }]
  })
