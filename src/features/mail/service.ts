import { authorize } from '~/platform/access'
import type { Db } from '~/platform/db'
import { DomainError, notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import { type PartlyListed, type Position, pageFrom } from '~/platform/keyset'
import type { Principal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import {
  countDeliveries,
  countSuppressions,
  deleteSuppression,
  findDelivery,
  findSuppression,
  listDeliveries,
  listEvents,
  listSuppressions,
} from './queries/deliveries'
import { type Email, type EmailDetail, type EmailFilter, parseMailRequest, type Suppression } from './schema'

export type EmailService = ReturnType<typeof createEmailService>

const PLATFORM = { kind: 'platform' } as const

/** What became of mails, for platform admins. */
export const createEmailService = ({ db, write }: { db: Db; write: Write }) => ({
  async list(principal: Principal, filter: EmailFilter, page: Page & { after?: Position | undefined }): Promise<PartlyListed<Email>> {
    authorize(principal, 'read', PLATFORM)
    const [rows, total] = await Promise.all([listDeliveries(db, filter, page), countDeliveries(db, filter)])
    return { ...pageFrom(rows, page.limit), total }
  },

  async get(principal: Principal, id: string): Promise<EmailDetail> {
    authorize(principal, 'read', PLATFORM)
    const found = await findDelivery(db, id)
    if (found === undefined) throw notFound('Email')
    const { request: _, ...email } = found
    return { ...email, events: await listEvents(db, id) }
  },

  /** Asks for the same mail anew, with a fresh link where the old one is no good any more. @throws DomainError `conflict` */
  resend(principal: Principal, id: string): Promise<{ message: string }> {
    authorize(principal, 'write', PLATFORM)
    return write(principal, async ({ tx, audit, mail }) => {
      const found = await findDelivery(tx, id)
      if (found === undefined) throw notFound('Email')
      const request = parseMailRequest(found.request)
      if (request === undefined) throw new DomainError('conflict', 'It is not known any more what this mail was about.')
      const reason = await findSuppression(tx, found.recipient)
      if (reason !== undefined)
        throw new DomainError('conflict', `This address is not written to any more (${reason}). Lift the suppression first.`)
      mail(request)
      audit({ action: 'resend', resourceType: 'email', resourceId: id, clientId: found.client_id, details: { template: found.template } })
      return { message: 'The mail will be sent again.' }
    })
  },

  async listSuppressions(principal: Principal, page: Page): Promise<{ items: Suppression[]; total: number }> {
    authorize(principal, 'read', PLATFORM)
    const [items, total] = await Promise.all([listSuppressions(db, page), countSuppressions(db)])
    return { items, total }
  },

  liftSuppression(principal: Principal, email: string): Promise<void> {
    authorize(principal, 'write', PLATFORM)
    return write(principal, async ({ tx, audit }) => {
      if (!(await deleteSuppression(tx, email))) throw notFound('Suppression')
      audit({ action: 'lift_suppression', resourceType: 'email', resourceId: null, details: { email: email.toLowerCase() } })
    })
  },
})
