import type { SignOut } from '~/features/auth/sign-out'
import type { UserService } from '~/features/users/service'
import { authorize, authorizeReach } from '~/platform/access'
import { type Db, sqlState } from '~/platform/db'
import { DomainError, notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import { type Listed, pageFrom } from '~/platform/keyset'
import type { HashNewPassword } from '~/platform/passwords/new-password'
import type { Principal, UserPrincipal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import { countClients, deleteClient, findClient, findClientSecurity, listClients, updateClient, updateClientSecurity } from './queries'
import type { Client, ClientChange, ClientSecurity, NewClient } from './schema'

export type ClientService = ReturnType<typeof createClientService>

interface Deps {
  db: Db
  write: Write
  users: Pick<UserService, 'insertClientWithOwner' | 'signOutClient'>
  hashNewPassword: HashNewPassword
  signOut: SignOut
  deleteSessionsOf(tx: Db, owner: { clientId: string }): Promise<void>
  detachDeliveries(tx: Db, clientId: string): Promise<void>
}

export const createClientService = ({ db, write, users, hashNewPassword, signOut, deleteSessionsOf, detachDeliveries }: Deps) => ({
  /** A client and its first owner, who gets a mail to confirm the address. @throws DomainError `conflict`: an admin may know what exists. */
  async create(principal: UserPrincipal, { name, email, password }: NewClient): Promise<Client> {
    authorize(principal, 'write', { kind: 'platform' })
    const passwordHash = await hashNewPassword('/password', { initial: password })
    return write(principal, async (unit) => {
      const { client, owner } = await users.insertClientWithOwner(unit, { name, email, passwordHash })
      unit.audit({
        action: 'create',
        resourceType: 'client',
        resourceId: client.id,
        clientId: client.id,
        details: { name, email: client.email, owner_id: owner.id },
      })
      return client
    })
  },

  /** An admin sees all, everybody else their own. */
  async list(principal: Principal, page: Page): Promise<Listed<Client>> {
    const reach = authorizeReach(principal, 'read', 'client')
    const [rows, total] = await Promise.all([listClients(db, reach, page), countClients(db, reach)])
    return { ...pageFrom(rows, page.limit), total }
  },

  async get(principal: Principal, clientId: string): Promise<Client> {
    authorize(principal, 'read', { kind: 'client', clientId })
    const client = await findClient(db, clientId)
    if (client === undefined) throw notFound('Client')
    return client
  },

  /** The address is the organisation's: nobody's sign-in changes with it. */
  update(principal: Principal, clientId: string, change: ClientChange): Promise<Client> {
    authorize(principal, 'write', { kind: 'client', clientId })
    return write(principal, async ({ tx, audit }) => {
      const client = await updateClient(tx, clientId, change).catch(refuseTaken)
      if (client === undefined) throw notFound('Client')
      audit({
        action: 'update',
        resourceType: 'client',
        resourceId: clientId,
        clientId,
        details: { name: client.name, email: client.email },
      })
      return client
    })
  },

  async security(principal: Principal, clientId: string): Promise<ClientSecurity> {
    authorize(principal, 'read', { kind: 'client', clientId })
    const found = await findClientSecurity(db, clientId)
    if (found === undefined) throw notFound('Client')
    return found
  },

  /** What is asked of everybody in the client, within a second. */
  secure(principal: Principal, clientId: string, change: ClientSecurity): Promise<ClientSecurity> {
    authorize(principal, 'write', { kind: 'client', clientId })
    return write(principal, async ({ tx, audit }) => {
      const changed = await updateClientSecurity(tx, clientId, change)
      if (changed === undefined) throw notFound('Client')
      audit({ action: 'update_security', resourceType: 'client', resourceId: clientId, clientId, details: { ...changed } })
      return changed
    })
  },

  /** Its people, agents, folders, keys, sessions and runs go with it, and its people are signed out. */
  async remove(principal: UserPrincipal, clientId: string): Promise<void> {
    authorize(principal, 'write', { kind: 'platform' })
    const ended = await write(principal, async (unit) => {
      const { tx, audit } = unit
      const sessions = await users.signOutClient(unit, clientId)
      await deleteSessionsOf(tx, { clientId })
      await detachDeliveries(tx, clientId)
      const client = await deleteClient(tx, clientId)
      if (client === undefined) throw notFound('Client')
      audit({ action: 'delete', resourceType: 'client', resourceId: clientId, details: { name: client.name, email: client.email } })
      return sessions
    })
    await signOut.announce(ended)
  },
})

const taken = () => new DomainError('conflict', 'Email already registered')

function refuseTaken(error: unknown): never {
  if (sqlState(error)?.code === '23505') throw taken()
  throw error
}
