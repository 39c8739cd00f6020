import { eq } from 'drizzle-orm'
import { Secret, TOTP } from 'otpauth'
import { approvals } from '~/features/approvals/table'
import { deriveToken } from '~/features/auth/one-time-token'
import { deliveries, emailSuppressions } from '~/features/mail/table'
import { runs } from '~/features/runs/table'
import { secondFactors, users } from '~/features/users/table'
import { webhookDeliveries } from '~/features/webhooks/table'
import { insertDeadLetter } from '~/platform/outbox/dead-letters'
import { outbox } from '~/platform/outbox/table'
import { linksTo } from '../support/mailed-links'
import type { Row } from './table'

/** What the rows need and no route makes: tokens of mailed links, codes of a device, what workers leave behind. */
type Made = NonNullable<Row['made']>

/** The token of the newest mail of that kind to that address. */
export const mailed =
  (email: string, template: string): Made =>
  async (app) => {
    const [user] = await app.services.db.select({ id: users.id }).from(users).where(eq(users.email, email))
    return { token: (await linksTo(app, user?.id ?? '', template)).at(-1) ?? '' }
  }

export const invitationToken: Made = async (app, kept) => ({ token: deriveToken(app.services.stores.linkKeys[0], kept('invitation')) })

/** The code that the device shows now, as if it had not been used for a while. */
export const deviceCode: Made = async (app, kept) => {
  await app.services.db.update(secondFactors).set({ lastStep: 0 })
  return { code: new TOTP({ secret: Secret.fromBase32(kept('secret')) }).generate() }
}

/** A mail that was given up, its letter among the dead, and its address among those that get none any more. */
export const deadMail: Made = async ({ services: { db, stores }, ada }) => {
  const outboxId = Bun.randomUUIDv7()
  const emailId = Bun.randomUUIDv7()
  const template = 'welcome'
  const payload = { template, user_id: ada.userId }
  await db.insert(outbox).values({ id: outboxId, kind: 'email', payload })
  const given = { recipient: 'gone@example.com', subject: 's', state: 'failed' as const, provider: 'sendgrid', attempts: 30 }
  await db.insert(deliveries).values({ id: emailId, outboxId, template, request: payload, ...given })
  await db.insert(emailSuppressions).values({ email: given.recipient, reason: 'bounced' }).onConflictDoNothing()
  await stores.database.transaction((tx) => insertDeadLetter(tx, { kind: 'email', outboxId, entry: {}, reason: 'refused' }))
  return { email_id: emailId }
}

/** A run that waits for somebody to say whether a tool may be called. */
export const askedApproval: Made = async ({ services: { db } }, kept) => {
  const id = crypto.randomUUID()
  const [run] = await db
    .select({ clientId: runs.clientId, agentId: runs.agentId })
    .from(runs)
    .where(eq(runs.id, kept('run')))
  if (run === undefined) throw new Error('no run')
  const question = { ...run, runId: kept('run'), stepKey: id, agent: 'guide', tool: 'book', arguments: {} }
  await db.insert(approvals).values({ ...question, id, expiresAt: new Date(Date.now() + 60_000) })
  return { approval: id, step: id }
}

/** A delivery of a webhook that failed for good. */
export const failedDelivery: Made = async ({ services: { db }, ada }, kept) => {
  const id = crypto.randomUUID()
  const about = { id, clientId: ada.clientId, webhookId: kept('webhook'), event: 'run.finished', payload: {} }
  await db.insert(webhookDeliveries).values({ ...about, state: 'failed', attempts: 9 })
  return { delivery: id }
}

/** A run that waits for somebody to say what became of its step. */
export const openStep: Made = async ({ services: { db } }, kept) => {
  const waitingFor = { reason: 'needs_reconcile', step: 'tool:1' }
  await db
    .update(runs)
    .set({ status: 'needs_reconcile', waitingFor, finishedAt: null })
    .where(eq(runs.id, kept('run')))
  return {}
}
