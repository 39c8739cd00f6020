import type { Db, Send } from '~/platform/db'
import { lockOutboxRows } from '~/platform/outbox/lock'
import type { MailKind } from '~/platform/outbox/table'
import { type Composed, type ComposeSettings, type Composition, composeMail, findRecipients } from './compose'
import {
  type Addressed,
  findStandings,
  finishOutbox,
  holdLapsed,
  insertEnded,
  type Lease,
  leaseDeliveries,
  replacePayload,
  type Standing,
} from './queries/attempts'
import { findSuppressions } from './queries/deliveries'
import { type MailRequest, parseMailRequest } from './schema'
import type { Mail, Mailbox, MailSender } from './sender'
import { UNSETTLED } from './table'

export type Step =
  | { kind: 'nothing' }
  | { kind: 'refused'; reason: string }
  | { kind: 'kept'; mail: { to: string; subject: string; link: string } }
  | { kind: 'send'; lease: Lease; mail: Mail; takenAt: number }

export interface StepSettings extends ComposeSettings {
  sender: MailSender | Mailbox
  from: string
  unknownHoldSeconds: number
  leaseMs: number
  /** Of the outbox rows: an entry of one stream says nothing about another's work. */
  kind: MailKind
}

const NOTHING: Step = { kind: 'nothing' }

/**
 * Decides, under the locks of their outbox rows, what is to be done about mails now, and writes that down, with as many statements for many as for one.
 * A step each, in the order of the ids; an id that comes twice has its step once.
 */
export async function takeSteps(tx: Db, send: Send, settings: StepSettings, outboxIds: string[]): Promise<Step[]> {
  const steps = new Map<string, Step>()
  const ids = [...new Set(outboxIds)]
  await send(() => lockOutboxRows(tx, ids))
  const standings = await findStandings(tx, ids)
  const asked: Asked[] = []
  for (const id of ids) {
    const standing = standings.get(id)
    const settled = await settleWithoutSending(tx, settings, id, standing)
    const request = settled === undefined ? parseMailRequest(standing?.payload) : undefined
    if (request !== undefined) asked.push({ id, request })
    else steps.set(id, settled ?? { kind: 'refused', reason: 'not a mail request' })
  }
  if (asked.length > 0) await writeMails(tx, settings, asked, steps)
  return outboxIds.map((id) => {
    const step = steps.get(id) ?? NOTHING
    steps.delete(id)
    return step
  })
}

interface Asked {
  id: string
  request: MailRequest
}

/** Undefined where there is a mail to write. */
async function settleWithoutSending(
  tx: Db,
  { unknownHoldSeconds, kind }: StepSettings,
  outboxId: string,
  standing: Standing | undefined,
): Promise<Step | undefined> {
  if (standing === undefined || standing.kind !== kind) return { kind: 'refused', reason: 'no such mail was asked for' }
  if (standing.done) return NOTHING
  if (standing.state !== null && !UNSETTLED.includes(standing.state)) {
    await finishOutbox(tx, outboxId)
    return NOTHING
  }
  if (standing.state === 'sending') {
    if (standing.lapsed) await holdLapsed(tx, outboxId, unknownHoldSeconds * 1000)
    return NOTHING
  }
  return standing.due ? undefined : NOTHING
}

/** Writes the mails and either keeps them, takes them for one attempt each, or ends those that are not to be sent any more. */
async function writeMails(tx: Db, settings: StepSettings, asked: Asked[], steps: Map<string, Step>) {
  const { sender, from, leaseMs, kind } = settings
  const recipients = await findRecipients(
    tx,
    asked.map(({ request }) => request),
  )
  // One after the other: of two mails with the same worn link the first gets a fresh one, which the second must find.
  const written: (Asked & { composition: Composition })[] = []
  for (const one of asked) written.push({ ...one, composition: await composeMail(tx, settings, one.request, recipients) })
  const suppressed = await findSuppressions(
    tx,
    written.map(({ composition }) => composition.to),
  )
  const ready: { addressed: Addressed; composed: Composed }[] = []
  for (const { id, request, composition } of written) {
    const reason = suppressed.get(composition.to.toLowerCase())
    const composed: Composition =
      'skip' in composition || reason === undefined
        ? composition
        : { ...composition, skip: `the address is not written to any more: ${reason}` }
    const addressed = addressedTo(composed, { id, request }, { provider: sender.name, bulk: kind === 'email-bulk' })
    if ('skip' in composed) {
      await insertEnded(tx, addressed, { state: 'failed', lastError: composed.skip })
      continue
    }
    const { to, subject, text, html, link, renewed } = composed
    if (renewed !== undefined) await replacePayload(tx, id, renewed)
    if (sender.name === 'mailbox') {
      await insertEnded(tx, addressed, { state: 'sent', bodies: { text, html } })
      steps.set(id, { kind: 'kept', mail: { to, subject, link } })
    } else ready.push({ addressed, composed })
  }
  if (ready.length === 0) return
  const takenAt = performance.now()
  const leases = await leaseDeliveries(
    tx,
    ready.map(({ addressed }) => addressed),
    leaseMs,
  )
  for (const { addressed, composed } of ready) {
    const lease = leases.get(addressed.outboxId)
    if (lease === undefined) throw new Error('a mail was not taken')
    const { to, subject, text, html } = composed
    steps.set(addressed.outboxId, { kind: 'send', lease, takenAt, mail: { id: lease.deliveryId, to, from, subject, text, html } })
  }
}

const addressedTo = (composed: Composition, { id, request }: Asked, how: Pick<Addressed, 'provider' | 'bulk'>): Addressed => ({
  ...how,
  outboxId: id,
  clientId: composed.clientId,
  userId: composed.userId,
  template: request.template,
  recipient: composed.to,
  subject: 'skip' in composed ? '' : composed.subject,
  request: ('renewed' in composed ? composed.renewed : undefined) ?? request,
})
