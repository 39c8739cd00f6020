import { deleteClient, findUnverified, findUser, findUserByEmail, insertClient, insertUser, markVerified } from '~/features/users/queries'
import type { User } from '~/features/users/schema'
import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import type { Locale } from '~/platform/locale'
import type { HashNewPassword } from '~/platform/passwords/new-password'
import type { Actor } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import { type Links, passTime } from './links'
import { hashToken } from './one-time-token'
import { consumeToken } from './queries'
import type { Registration } from './schema'

interface Deps {
  db: Db
  write: Write
  links: Links
  hashNewPassword: HashNewPassword
}

/** Signing up, and showing that the address is one's own. */
export const createRegistration = ({ db, write, links, hashNewPassword }: Deps) => ({
  /**
   * The answer does not tell whether the address was known, nor does its time: its owner is told by mail.
   * @param locale of the mails to come
   */
  async register(actor: Actor, { email, password, name }: Registration, locale: Locale): Promise<User> {
    const passwordHash = await hashNewPassword('/password', { chosen: password, about: { email, names: [name] } })
    return write(actor, async (unit) => {
      const { tx, audit, mail } = unit
      const known = await findUserByEmail(tx, email)
      const client = known === undefined ? await insertOwnClient(tx, name, email) : undefined
      const user = client && (await insertUser(tx, { email, name, passwordHash, locale, clientId: client.id }))
      if (user !== undefined) {
        await links.send(unit, email, user, 'verify-email')
        audit({ action: 'register', resourceType: 'user', resourceId: user.id, clientId: user.client_id })
        return user
      }
      // Somebody was quicker: nobody is left to own it.
      if (client !== undefined) await deleteClient(tx, client.id)
      const owner = known ?? (await findUserByEmail(tx, email))
      if (owner !== undefined && (await links.allowsMail(tx, email))) mail({ template: 'already-registered', user_id: owner.id })
      await passTime(tx, STATEMENTS_OF_AN_ACCOUNT)
      audit({ action: 'register_refused', resourceType: 'user', resourceId: owner?.id ?? null, clientId: owner?.client_id ?? null })
      return pretended(email, name, locale)
    })
  },

  /** @throws DomainError `invalid-one-time-token`, the same for every reason. */
  verifyEmail: (actor: Actor, token: string): Promise<void> =>
    write(actor, async ({ tx, audit, mail }) => {
      const used = await consumeToken(tx, hashToken(token), 'verify-email')
      if (used === undefined || !(await markVerified(tx, used.userId)))
        throw new DomainError('invalid-one-time-token', 'Invalid verification token')
      const user = await findUser(tx, used.userId)
      mail({ template: 'welcome', user_id: used.userId })
      audit({ action: 'verify_email', resourceType: 'user', resourceId: used.userId, clientId: user?.client_id ?? null })
    }),

  /** Silent about unknown and verified addresses, and about those of people who were switched off. @throws DomainError `rate-limited` */
  async resendVerification(actor: Actor, email: string): Promise<void> {
    await links.admit(db, actor)
    await write(actor, async (unit) => {
      const user = await findUserByEmail(unit.tx, email)
      await links.send(unit, email, await findUnverified(unit.tx, email), 'verify-email')
      unit.audit({ action: 'resend_verification', resourceType: 'user', resourceId: user?.id ?? null, clientId: user?.client_id ?? null })
    })
  },
})

/** Undefined where somebody was quicker. Whoever names an address as their client's does not keep its owner out by that. */
async function insertOwnClient(tx: Db, name: string, email: string) {
  const client = await insertClient(tx, { name, email })
  if (client !== undefined || (await findUserByEmail(tx, email)) !== undefined) return client
  return insertClient(tx, { name, email, isShared: true })
}

/** The client, the user and the token that a new address gets. */
const STATEMENTS_OF_AN_ACCOUNT = 5

/** What a new account would look like, for an address that has one. */
const pretended = (email: string, name: string, locale: Locale): User => ({
  id: crypto.randomUUID(),
  email: email.toLowerCase(),
  name,
  is_active: false,
  is_admin: false,
  client_id: crypto.randomUUID(),
  email_verified: false,
  locale,
  created_at: new Date().toISOString(),
  updated_at: null,
})
