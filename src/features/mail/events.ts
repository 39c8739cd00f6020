import { UUID } from '~/platform/uuid'
import type { DeliveryState, SUPPRESSIONS } from './table'

/** One event of the provider, as it is kept. */
export interface MailEvent {
  sg_event_id: string
  delivery_id: string | null
  event: string
  occurred_at: string
  details: Record<string, string | number | boolean>
  email: string | null
}

/** What each of SendGrid's events means for a mail. Others are kept, and change nothing. */
const MEANING: Record<string, DeliveryState> = {
  processed: 'processed',
  deferred: 'deferred',
  delivered: 'delivered',
  open: 'opened',
  click: 'opened',
  dropped: 'dropped',
  bounce: 'bounced',
  spamreport: 'spam',
}
export const stateAfter = ({ event }: MailEvent): DeliveryState | undefined => (Object.hasOwn(MEANING, event) ? MEANING[event] : undefined)

/** Why its address is not to be written to any more. A block is a passing refusal, not a dead address. */
export function suppressionBy({ event, details }: MailEvent): (typeof SUPPRESSIONS)[number] | undefined {
  if (event === 'spamreport') return 'spam'
  if (event === 'bounce') return details.type === 'blocked' ? undefined : 'bounced'
  if (event !== 'dropped') return undefined
  if (/^spam reporting/i.test(String(details.reason))) return 'spam'
  return /^bounced address/i.test(String(details.reason)) ? 'bounced' : undefined
}

/** Not kept: where a person read the mail and with what, and links, which may hold tokens. */
const DROPPED = new Set(['ip', 'useragent', 'url', 'email', 'delivery_id', 'sg_event_id', 'event', 'timestamp'])
const MAX_TEXT = 500
const MAX_FIELDS = 30

/** Undefined for what is no event at all. What is odd within one is left out, since nobody would send it better. */
export function readEvent(value: unknown): MailEvent | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const fields = new Map<string, unknown>(Object.entries(value))
  const text = (name: string) => {
    const found = fields.get(name)
    return typeof found === 'string' && found !== '' ? storable(found) : undefined
  }
  const id = text('sg_event_id')
  const event = text('event')
  if (id === undefined || event === undefined) return undefined
  const delivery = text('delivery_id')
  const seconds = Number(fields.get('timestamp'))
  const details: MailEvent['details'] = {}
  for (const [name, detail] of [...fields].filter(([name]) => !DROPPED.has(name)).slice(0, MAX_FIELDS)) {
    if (typeof detail === 'string') details[storable(name)] = storable(detail)
    else if (typeof detail === 'boolean' || (typeof detail === 'number' && Number.isFinite(detail))) details[storable(name)] = detail
  }
  return {
    sg_event_id: id,
    delivery_id: delivery !== undefined && UUID.test(delivery) ? delivery : null,
    event,
    occurred_at: new Date(seconds > 0 && seconds < 4e9 ? seconds * 1000 : Date.now()).toISOString(),
    details,
    email: text('email')?.toLowerCase() ?? null,
  }
}

/** PostgreSQL takes neither NUL nor lone surrogates in JSON. */
const storable = (text: string) => text.slice(0, MAX_TEXT).replaceAll('\0', '').toWellFormed()
