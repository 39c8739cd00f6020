import { authorize } from '~/platform/access'
import type { Clock } from '~/platform/clock'
import type { Db } from '~/platform/db'
import { checkField, DomainError, notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import { type Listed, pageFrom } from '~/platform/keyset'
import type { Subscribe } from '~/platform/notification'
import { oneAtATime } from '~/platform/one-at-a-time'
import type { Outbound } from '~/platform/outbound'
import type { Principal } from '~/platform/principal'
import type { Secrets } from '~/platform/secrets'
import type { Write } from '~/platform/unit-of-work'
import {
  copyDelivery,
  countDeliveries,
  countWebhooks,
  deleteWebhook,
  findWebhook,
  insertDeliveries,
  insertWebhook,
  listDeliveries,
  listWebhooks,
  updateWebhook,
} from './queries/webhooks'
import type { NewWebhook, Webhook, WebhookChange, WebhookDelivery, WebhookWithSecret } from './schema'
import { createSecret } from './signature'

export type WebhookService = ReturnType<typeof createWebhookService>

interface Deps {
  db: Db
  write: Write
  secrets: Secrets
  outbound: Pick<Outbound, 'check'>
}

/** Each is called for each event. */
const MAX_WEBHOOKS = 20

/** Where a client's own systems are told of what happens, made by its owners. */
export const createWebhookService = ({ db, write, secrets, outbound }: Deps) => ({
  async create(principal: Principal, clientId: string, { url, events, description }: NewWebhook): Promise<WebhookWithSecret> {
    authorize(principal, 'write', { kind: 'webhooks', clientId })
    checkField('/url', () => outbound.check(url))
    const id = Bun.randomUUIDv7()
    const secret = createSecret()
    const webhook = await write(principal, async ({ tx, audit }) => {
      await oneAtATime(tx, 'webhooks', clientId)
      if ((await countWebhooks(tx, clientId)) >= MAX_WEBHOOKS)
        throw new DomainError('conflict', `There are ${MAX_WEBHOOKS} webhooks. Delete some of them first.`)
      const sealedSecret = await secrets.seal(tx, clientId, contextOf(id), secret)
      const row = await insertWebhook(tx, { id, clientId, url, events, description: description ?? null, sealedSecret })
      audit({ action: 'create', resourceType: 'webhook', resourceId: id, clientId, details: { events, host: new URL(url).host } })
      return row
    })
    // An Idempotency-Key gives the first request's row, whose secret nobody has kept in clear.
    return { ...webhook, secret: webhook.id === id ? secret : null }
  },

  async list(principal: Principal, clientId: string, page: Page): Promise<Listed<Webhook>> {
    authorize(principal, 'read', { kind: 'webhooks', clientId })
    const [rows, total] = await Promise.all([listWebhooks(db, clientId, page), countWebhooks(db, clientId)])
    return { ...pageFrom(rows, page.limit), total }
  },

  async get(principal: Principal, clientId: string, id: string): Promise<Webhook> {
    authorize(principal, 'read', { kind: 'webhooks', clientId })
    const webhook = await findWebhook(db, clientId, id)
    if (webhook === undefined) throw notFound('Webhook')
    return webhook
  },

  update(principal: Principal, clientId: string, id: string, change: WebhookChange): Promise<Webhook> {
    authorize(principal, 'write', { kind: 'webhooks', clientId })
    const { is_active: isActive, ...rest } = change
    const { url } = rest
    if (url !== undefined) checkField('/url', () => outbound.check(url))
    return write(principal, async ({ tx, audit }) => {
      const webhook = await updateWebhook(tx, clientId, id, { ...rest, ...(isActive === undefined ? {} : { isActive }) })
      if (webhook === undefined) throw notFound('Webhook')
      audit({ action: 'update', resourceType: 'webhook', resourceId: id, clientId, details: { changed: Object.keys(change) } })
      return webhook
    })
  },

  remove(principal: Principal, clientId: string, id: string): Promise<void> {
    authorize(principal, 'write', { kind: 'webhooks', clientId })
    return write(principal, async ({ tx, audit }) => {
      if ((await deleteWebhook(tx, clientId, id)) === undefined) throw notFound('Webhook')
      audit({ action: 'delete', resourceType: 'webhook', resourceId: id, clientId })
    })
  },

  async listDeliveries(principal: Principal, clientId: string, id: string, page: Page): Promise<Listed<WebhookDelivery>> {
    authorize(principal, 'read', { kind: 'webhooks', clientId })
    if ((await findWebhook(db, clientId, id)) === undefined) throw notFound('Webhook')
    const [rows, total] = await Promise.all([listDeliveries(db, clientId, id, page), countDeliveries(db, clientId, id)])
    return { ...pageFrom(rows, page.limit), total }
  },

  /** Tells of an event again, as a delivery with an id of its own. @throws DomainError `conflict` where the webhook is switched off: it would not be called. */
  replay(principal: Principal, clientId: string, webhookId: string, id: string): Promise<{ message: string }> {
    authorize(principal, 'write', { kind: 'webhooks', clientId })
    return write(principal, async ({ tx, audit, follow }) => {
      const copy = await copyDelivery(tx, clientId, webhookId, id)
      if (copy === undefined) throw notFound('Delivery')
      if ((await findWebhook(tx, clientId, webhookId))?.is_active !== true)
        throw new DomainError('conflict', 'The webhook is switched off: switch it on before it is told anything again.')
      follow({ id: copy, kind: 'webhook', clientId })
      audit({ action: 'replay', resourceType: 'webhook_delivery', resourceId: id, clientId, details: { webhook_id: webhookId, copy } })
      return { message: 'The event will be sent again.' }
    })
  },
})

/** A ciphertext that is moved to another row does not open. */
export const contextOf = (id: string) => `webhooks:${id}`

export const createSubscribe =
  ({ clock }: { clock: Clock }): Subscribe =>
  (tx, notifications) =>
    insertDeliveries(tx, notifications, new Date(clock.now()).toISOString())
