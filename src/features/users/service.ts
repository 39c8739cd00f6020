import type { Unlock } from '~/features/auth/lock'
import type { EndedSession, SignOut } from '~/features/auth/sign-out'
import type { SendVerification } from '~/features/auth/verification'
import { authorize } from '~/platform/access'
import type { Db } from '~/platform/db'
import { DomainError, notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import { type Listed, pageFrom } from '~/platform/keyset'
import type { HashNewPassword } from '~/platform/passwords/new-password'
import type { UserPrincipal } from '~/platform/principal'
import type { Unit, Write } from '~/platform/unit-of-work'
import { countAdmins, findUser, insertClient, insertUser, listAdmins, listUserIds, lockActiveAdmins, setActive, setLocale } from './queries'
import { INITIAL_PASSWORD_DAYS, type NewAdmin, type OwnLocale, type User } from './schema'

export type UserService = ReturnType<typeof createUserService>

interface Deps {
  db: Db
  write: Write
  hashNewPassword: HashNewPassword
  sendVerification: SendVerification
  signOut: SignOut
  unlock: Unlock
}

export function createUserService({ db, write, hashNewPassword, sendVerification, signOut, unlock }: Deps) {
  /** The first password is only for the start: it dies unless its owner signs in and sets one of their own. */
  const insertWithInitialPassword = async ({ tx }: Unit, user: Omit<Parameters<typeof insertUser>[1], 'passwordIsInitial'>) => {
    const passwordExpiresAt = new Date(Date.now() + INITIAL_PASSWORD_DAYS * 86_400_000)
    const inserted = await insertUser(tx, { ...user, passwordIsInitial: true, passwordExpiresAt })
    if (inserted === undefined) throw taken()
    return inserted
  }

  const createAdmin = async (principal: UserPrincipal, { email, password, name }: NewAdmin, { verified }: { verified: boolean }) => {
    authorize(principal, 'write', { kind: 'platform' })
    const passwordHash = await hashNewPassword('/password', { initial: password })
    return write(principal, async (unit) => {
      const admin = await insertWithInitialPassword(unit, {
        email,
        name,
        passwordHash,
        isAdmin: true,
        isActive: verified,
        emailVerified: verified,
      })
      if (!verified) await sendVerification(unit, admin.id)
      unit.audit({ action: 'create', resourceType: 'admin_user', resourceId: admin.id, details: { email: admin.email } })
      return admin
    })
  }

  return {
    /** For a larger change: a client and the person who owns it and has yet to confirm the address. @throws DomainError `conflict` */
    async insertClientWithOwner(unit: Unit, { passwordHash, ...named }: { email: string; name: string; passwordHash: string }) {
      const client = await insertClient(unit.tx, named)
      if (client === undefined) throw taken()
      const owner = await insertWithInitialPassword(unit, { ...named, passwordHash, clientId: client.id, role: 'owner' })
      await sendVerification(unit, owner.id)
      return { client, owner }
    },

    /** For a larger change: ends the sign-ins of everybody in a client. Announce them after its COMMIT. */
    signOutClient: async ({ tx }: Unit, clientId: string): Promise<EndedSession[]> => signOut.end(tx, await listUserIds(tx, clientId)),

    async listAdmins(principal: UserPrincipal, page: Page): Promise<Listed<User>> {
      authorize(principal, 'read', { kind: 'platform' })
      const [rows, total] = await Promise.all([listAdmins(db, page), countAdmins(db)])
      return { ...pageFrom(rows, page.limit), total }
    },

    createAdmin: (principal: UserPrincipal, admin: NewAdmin): Promise<User> => createAdmin(principal, admin, { verified: true }),

    /** As `createAdmin`, but the address has to be confirmed first. */
    registerAdmin: (principal: UserPrincipal, admin: NewAdmin): Promise<User> => createAdmin(principal, admin, { verified: false }),

    /** Switches off anybody but oneself and signs them out everywhere. There is always an active admin left: the one who does it. */
    async deactivate(principal: UserPrincipal, id: string): Promise<void> {
      authorize(principal, 'write', { kind: 'platform' })
      if (id === principal.userId) throw new DomainError('not-possible', 'Unable to deactivate your own user')
      const ended = await write(principal, async ({ tx, audit }) => {
        const admins = await lockActiveAdmins(tx)
        if (!admins.some((admin) => admin.id === principal.userId))
          throw new DomainError('forbidden', 'Access denied. Restricted to administrators.')
        const user = await setActive(tx, id, false)
        if (user === undefined) throw notFound('User')
        audit({ action: 'deactivate', resourceType: user.is_admin ? 'admin_user' : 'user', resourceId: id, clientId: user.client_id })
        return signOut.end(tx, [id])
      })
      await signOut.announce(ended)
    },

    /** The way back. The address stays as confirmed or unconfirmed as it was. */
    activate(principal: UserPrincipal, id: string): Promise<User> {
      authorize(principal, 'write', { kind: 'platform' })
      return write(principal, async ({ tx, audit }) => {
        const before = await findUser(tx, id)
        const user = before && (await setActive(tx, id, true))
        if (user === undefined) throw notFound('User')
        audit({ action: 'activate', resourceType: user.is_admin ? 'admin_user' : 'user', resourceId: id, clientId: user.client_id })
        return user
      })
    },

    changeLocale(principal: UserPrincipal, { locale }: OwnLocale): Promise<User> {
      authorize(principal, 'write', { kind: 'account', userId: principal.userId })
      return write(principal, async ({ tx, audit }) => {
        const user = await setLocale(tx, principal.userId, locale)
        if (user === undefined) throw notFound('User')
        audit({ action: 'update', resourceType: 'user', resourceId: user.id, details: { locale } })
        return user
      })
    },

    /** Lets a person whose account is locked after too many failed attempts try again at once. */
    unlock(principal: UserPrincipal, id: string): Promise<User> {
      authorize(principal, 'write', { kind: 'platform' })
      return write(principal, async ({ tx, audit }) => {
        const user = await findUser(tx, id)
        if (user === undefined) throw notFound('User')
        await unlock(tx, user)
        audit({ action: 'unlock', resourceType: user.is_admin ? 'admin_user' : 'user', resourceId: id, clientId: user.client_id })
        return user
      })
    },
  }
}

const taken = () => new DomainError('conflict', 'Email already registered')
