import { authorize, authorizeReach } from '~/platform/access'
import { type Db, sqlState } from '~/platform/db'
import { DomainError, invalid, notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import { type Listed, pageFrom } from '~/platform/keyset'
import type { Principal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import { countContacts, deleteContact, findContact, insertContact, listContacts, updateContact } from './queries'
import type { Contact, NewContact } from './schema'

export type ContactService = ReturnType<typeof createContactService>

const MAX_META_BYTES = 64 * 1024

/** The end users of a client. Names and what else is known of them stay out of the audit log: it cannot forget. */
export const createContactService = ({ db, write }: { db: Db; write: Write }) => ({
  create(principal: Principal, { client_id: clientId, ...input }: NewContact): Promise<Contact> {
    authorize(principal, 'write', { kind: 'contacts', clientId })
    const fields = fieldsOf(input)
    return write(principal, async ({ tx, audit }) => {
      const contact = await insertContact(tx, { clientId, ...fields })
      if (contact === undefined) throw taken()
      audit({ action: 'create', resourceType: 'contact', resourceId: contact.id, clientId })
      return contact
    })
  },

  async list(principal: Principal, clientId: string, page: Page): Promise<Listed<Contact>> {
    authorize(principal, 'read', { kind: 'contacts', clientId })
    const [rows, total] = await Promise.all([listContacts(db, clientId, page), countContacts(db, clientId)])
    return { ...pageFrom(rows, page.limit), total }
  },

  async get(principal: Principal, id: string): Promise<Contact> {
    const contact = await findContact(db, authorizeReach(principal, 'read', 'contacts'), id)
    if (contact === undefined) throw notFound('Contact')
    return contact
  },

  /** Replaces the whole contact. */
  replace(principal: Principal, id: string, { client_id: clientId, ...input }: NewContact): Promise<Contact> {
    const reach = authorizeReach(principal, 'write', 'contacts')
    const fields = fieldsOf(input)
    return write(principal, async ({ tx, audit }) => {
      const before = await findContact(tx, reach, id)
      if (before === undefined) throw notFound('Contact')
      if (before.client_id !== clientId) throw new DomainError('forbidden', 'A contact stays with its client.')
      const contact = await updateContact(tx, id, fields).catch(refuseTaken)
      if (contact === undefined) throw notFound('Contact')
      audit({ action: 'update', resourceType: 'contact', resourceId: id, clientId })
      return contact
    })
  },

  remove(principal: Principal, id: string): Promise<void> {
    const reach = authorizeReach(principal, 'write', 'contacts')
    return write(principal, async ({ tx, audit }) => {
      const gone = await deleteContact(tx, reach, id)
      if (gone === undefined) throw notFound('Contact')
      audit({ action: 'delete', resourceType: 'contact', resourceId: id, clientId: gone.clientId })
    })
  },
})

function fieldsOf({ ext_id, name, meta }: Omit<NewContact, 'client_id'>) {
  if (JSON.stringify(meta ?? {}).length > MAX_META_BYTES) throw invalid('/meta', 'length', 'The meta data is larger than 64 KiB')
  return { extId: ext_id || null, name: name ?? null, meta: meta ?? {} }
}

const taken = () => new DomainError('conflict', 'A contact of this external id exists already.')

function refuseTaken(error: unknown): never {
  if (sqlState(error)?.code === '23505') throw taken()
  throw error
}
