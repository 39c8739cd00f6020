import { and, asc, count, eq, isNull, sql } from 'drizzle-orm'
import { clients } from '~/features/clients/table'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import { behind, momentOf } from '~/platform/keyset'
import type { Locale } from '~/platform/locale'
import type { User } from './schema'
import { secondFactors, users } from './table'

/** What leaves this file towards a client: no hash. */
const view = {
  id: users.id,
  email: users.email,
  name: users.name,
  is_active: users.isActive,
  is_admin: users.isAdmin,
  client_id: users.clientId,
  email_verified: users.emailVerified,
  locale: users.locale,
  created_at: users.createdAt,
  updated_at: users.updatedAt,
}

const emailIs = (email: string) => eq(sql`lower(${users.email})`, email.toLowerCase())

export async function findUser(db: Db, id: string): Promise<User | undefined> {
  const [user] = await db.select(view).from(users).where(eq(users.id, id))
  return user
}

export async function findUserByEmail(db: Db, email: string): Promise<User | undefined> {
  const [user] = await db.select(view).from(users).where(emailIs(email))
  return user
}

/** Who may still confirm that address. */
export async function findUnverified(db: Db, email: string): Promise<{ id: string } | undefined> {
  const [user] = await db
    .select({ id: users.id })
    .from(users)
    .where(and(emailIs(email), eq(users.emailVerified, false), isNull(users.deactivatedAt)))
  return user
}

export interface Credentials {
  id: string
  email: string
  clientId: string | null
  isAdmin: boolean
  isActive: boolean
  emailVerified: boolean
  passwordHash: string
  passwordIsImported: boolean
  hasSecondFactor: boolean
  clientName: string | null
  /** An initial password that nobody has replaced in time. */
  passwordExpired: boolean
}

export async function findCredentials(db: Db, by: { email: string } | { id: string }): Promise<Credentials | undefined> {
  const [row] = await db
    .select({
      id: users.id,
      email: users.email,
      clientId: users.clientId,
      isAdmin: users.isAdmin,
      isActive: users.isActive,
      emailVerified: users.emailVerified,
      passwordHash: users.passwordHash,
      passwordIsImported: users.passwordIsImported,
      hasSecondFactor: sql<boolean>`${secondFactors.confirmedAt} is not null`,
      clientName: clients.name,
      passwordExpired: sql<boolean>`coalesce(${users.passwordExpiresAt} <= now(), false)`,
    })
    .from(users)
    .leftJoin(clients, eq(clients.id, users.clientId))
    .leftJoin(secondFactors, eq(secondFactors.userId, users.id))
    .where('email' in by ? emailIs(by.email) : eq(users.id, by.id))
  return row
}

/** Undefined when the address is taken, in whatever case it is written. Who is put into a client without a role owns it. */
export async function insertUser(db: Db, user: typeof users.$inferInsert): Promise<User | undefined> {
  const role = user.role ?? (user.clientId == null ? null : 'owner')
  const [inserted] = await db
    .insert(users)
    .values({ ...user, role, email: user.email.toLowerCase() })
    .onConflictDoNothing()
    .returning(view)
  return inserted
}

/** Undefined when another client has that address, unless it is to be shared. */
export async function insertClient(db: Db, { name, email, isShared = false }: { name: string; email: string; isShared?: boolean }) {
  const [inserted] = await db
    .insert(clients)
    .values({ name, email: email.toLowerCase(), emailIsShared: isShared })
    .onConflictDoNothing()
    .returning({ id: clients.id, name: clients.name, email: clients.email, created_at: clients.createdAt })
  return inserted
}

export const deleteClient = (tx: Db, id: string) => tx.delete(clients).where(eq(clients.id, id))

export const listUserIds = async (db: Db, clientId: string): Promise<string[]> =>
  (await db.select({ id: users.id }).from(users).where(eq(users.clientId, clientId))).map(({ id }) => id)

/** False where somebody has switched the user off: then nothing is set. */
export async function markVerified(db: Db, id: string): Promise<boolean> {
  const rows = await db
    .update(users)
    .set({ emailVerified: true, isActive: true, updatedAt: sql`now()` })
    .where(and(eq(users.id, id), isNull(users.deactivatedAt)))
    .returning({ id: users.id })
  return rows.length === 1
}

/** Where the hash before is given, it has to be the stored one. False when it is not, and then nothing is set. */
export async function setPassword(
  db: Db,
  id: string,
  { passwordHash, before }: { passwordHash: string; before?: string },
): Promise<boolean> {
  const rows = await db
    .update(users)
    .set({ passwordHash, passwordIsInitial: false, passwordIsImported: false, passwordExpiresAt: null, updatedAt: sql`now()` })
    .where(and(eq(users.id, id), before === undefined ? undefined : eq(users.passwordHash, before)))
    .returning({ id: users.id })
  return rows.length === 1
}

/** Whether the user is active and still has that password. Until the transaction ends nobody sets another, or switches them off. */
export async function holdPassword(tx: Db, id: string, passwordHash: string): Promise<boolean> {
  const rows = await tx
    .select({ id: users.id })
    .from(users)
    .where(and(eq(users.id, id), eq(users.isActive, true), eq(users.passwordHash, passwordHash)))
    .for('share')
  return rows.length === 1
}

/** The address was shown to be the user's. @throws a unique violation when somebody else has it */
export async function setEmail(db: Db, id: string, email: string): Promise<User | undefined> {
  const [user] = await db
    .update(users)
    .set({ email: email.toLowerCase(), emailVerified: true, updatedAt: sql`now()` })
    .where(eq(users.id, id))
    .returning(view)
  return user
}

export async function setLocale(db: Db, id: string, locale: Locale): Promise<User | undefined> {
  const [user] = await db.update(users).set({ locale, updatedAt: sql`now()` }).where(eq(users.id, id)).returning(view)
  return user
}

/** The same password at today's cost: nobody is signed out. */
export const replaceHash = (db: Db, id: string, before: string, passwordHash: string) =>
  db.update(users).set({ passwordHash, passwordIsImported: false }).where(sql`${users.id} = ${id} and ${users.passwordHash} = ${before}`)

/** No parameter: the index holds nobody else. */
const isAdmin = sql`${users.isAdmin}`

export async function hasAdmin(db: Db): Promise<boolean> {
  const [row] = await db.select({ id: users.id }).from(users).where(isAdmin).limit(1)
  return row !== undefined
}

/** Oldest first. */
export const listAdmins = (db: Db, { skip, limit, after }: Page) =>
  db
    .select({ ...view, at: momentOf(users.createdAt) })
    .from(users)
    .where(and(isAdmin, behind(after, { by: users.createdAt, id: users.id })))
    .orderBy(asc(users.createdAt), asc(users.id))
    .offset(skip)
    .limit(limit)

export async function countAdmins(db: Db): Promise<number> {
  const [row] = await db.select({ total: count() }).from(users).where(isAdmin)
  return row?.total ?? 0
}

/** Locks the active admins until the transaction ends, so that two who switch each other off do it one after the other. */
export const lockActiveAdmins = (tx: Db) =>
  tx
    .select({ id: users.id })
    .from(users)
    .where(and(isAdmin, eq(users.isActive, true)))
    .orderBy(asc(users.id))
    .for('no key update')

export async function setActive(db: Db, id: string, isActive: boolean): Promise<User | undefined> {
  const [user] = await db
    .update(users)
    .set({ isActive, deactivatedAt: isActive ? null : sql`now()`, updatedAt: sql`now()` })
    .where(eq(users.id, id))
    .returning(view)
  return user
}
