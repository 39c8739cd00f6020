import { and, asc, count, eq, gt, isNull, ne, sql } from 'drizzle-orm'
import { clients } from '~/features/clients/table'
import type { User } from '~/features/users/schema'
import { users } from '~/features/users/table'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import { behind, momentOf } from '~/platform/keyset'
import { LOCALES, type Locale } from '~/platform/locale'
import type { MemberRole } from '~/platform/principal'
import type { Invitation, Member } from './schema'
import { invitations } from './table'

const member = {
  id: users.id,
  email: users.email,
  name: users.name,
  // Only platform admins have none, and they are no members.
  role: sql<MemberRole>`${users.role}`,
  is_active: users.isActive,
  email_verified: users.emailVerified,
  created_at: users.createdAt,
}

/** Whoever changes who belongs to a client, or how, does it one after the other. False when there is no such client. */
export async function lockClient(tx: Db, clientId: string): Promise<boolean> {
  const [row] = await tx.select({ id: clients.id }).from(clients).where(eq(clients.id, clientId)).for('no key update')
  return row !== undefined
}

/** Oldest first, those who were removed included. */
export const listMembers = (db: Db, clientId: string, { skip, limit, after }: Page) =>
  db
    .select({ ...member, at: momentOf(users.createdAt) })
    .from(users)
    .where(and(eq(users.clientId, clientId), behind(after, { by: users.createdAt, id: users.id })))
    .orderBy(asc(users.createdAt), asc(users.id))
    .offset(skip)
    .limit(limit)

export async function countMembers(db: Db, clientId: string): Promise<number> {
  const [row] = await db.select({ total: count() }).from(users).where(eq(users.clientId, clientId))
  return row?.total ?? 0
}

export async function findMember(db: Db, clientId: string, by: { id: string } | { email: string }): Promise<Member | undefined> {
  const [row] = await db
    .select(member)
    .from(users)
    .where(and(eq(users.clientId, clientId), 'id' in by ? eq(users.id, by.id) : eq(sql`lower(${users.email})`, by.email.toLowerCase())))
  return row
}

/** Owners who can sign in, besides this one. */
export async function countOtherOwners(db: Db, clientId: string, userId: string): Promise<number> {
  const [row] = await db
    .select({ total: count() })
    .from(users)
    .where(and(eq(users.clientId, clientId), eq(users.role, 'owner'), eq(users.isActive, true), ne(users.id, userId)))
  return row?.total ?? 0
}

export async function updateMember(
  db: Db,
  clientId: string,
  userId: string,
  change: { role: MemberRole } | { isActive: false },
): Promise<Member | undefined> {
  const [row] = await db
    .update(users)
    .set({ ...change, ...('isActive' in change ? { deactivatedAt: sql`now()` } : {}), updatedAt: sql`now()` })
    .where(and(eq(users.clientId, clientId), eq(users.id, userId)))
    .returning(member)
  return row
}

export interface NewMember {
  clientId: string
  email: string
  name: string
  role: MemberRole
  passwordHash: string
  locale: Locale
}

/** Active and verified: the invitation came to that address. Undefined when the address has an account already. */
export async function insertMember(db: Db, { email, ...user }: NewMember): Promise<User | undefined> {
  const [row] = await db
    .insert(users)
    .values({ ...user, email: email.toLowerCase(), isActive: true, emailVerified: true })
    .onConflictDoNothing()
    .returning({
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
    })
  return row
}

const invitation = {
  id: invitations.id,
  client_id: invitations.clientId,
  email: invitations.email,
  role: invitations.role,
  invited_by: invitations.invitedBy,
  created_at: invitations.createdAt,
  expires_at: invitations.expiresAt,
}

const isOpen = and(isNull(invitations.acceptedAt), isNull(invitations.revokedAt))
const isValid = and(isOpen, gt(invitations.expiresAt, sql`clock_timestamp()`))

export const listInvitations = (db: Db, clientId: string, { skip, limit, after }: Page) =>
  db
    .select({ ...invitation, at: momentOf(invitations.createdAt) })
    .from(invitations)
    .where(and(eq(invitations.clientId, clientId), isValid, behind(after, { by: invitations.createdAt, id: invitations.id })))
    .orderBy(asc(invitations.createdAt), asc(invitations.id))
    .offset(skip)
    .limit(limit)

export async function countInvitations(db: Db, clientId: string): Promise<number> {
  const [row] = await db
    .select({ total: count() })
    .from(invitations)
    .where(and(eq(invitations.clientId, clientId), isValid))
  return row?.total ?? 0
}

export async function insertInvitation(
  db: Db,
  { seconds, ...values }: Omit<typeof invitations.$inferInsert, 'expiresAt'> & { seconds: number },
): Promise<Invitation> {
  const [row] = await db
    .insert(invitations)
    .values({ ...values, expiresAt: sql`clock_timestamp() + ${seconds} * interval '1 second'` })
    .returning(invitation)
  return row as Invitation
}

/** Ends what is open: one invitation, or all for an address, expired ones too. */
export const revokeInvitations = (db: Db, clientId: string, which: { id: string } | { email: string }) =>
  db
    .update(invitations)
    .set({ revokedAt: sql`now()` })
    .where(
      and(
        eq(invitations.clientId, clientId),
        'id' in which ? eq(invitations.id, which.id) : eq(sql`lower(${invitations.email})`, which.email.toLowerCase()),
        isOpen,
      ),
    )
    .returning({ id: invitations.id, email: invitations.email })

export async function findValidInvitation(db: Db, tokenHash: Buffer): Promise<{ email: string; clientName: string } | undefined> {
  const [row] = await db
    .select({ email: invitations.email, clientName: clients.name })
    .from(invitations)
    .innerJoin(clients, eq(clients.id, invitations.clientId))
    .where(and(eq(invitations.tokenHash, tokenHash), isValid))
  return row
}

/** Uses the invitation up: of any number of parallel calls one gets it. */
export async function acceptInvitation(db: Db, tokenHash: Buffer): Promise<Invitation | undefined> {
  const [row] = await db
    .update(invitations)
    .set({ acceptedAt: sql`now()` })
    .where(and(eq(invitations.tokenHash, tokenHash), isValid))
    .returning(invitation)
  return row
}

/** What the mail of an invitation says, as long as it is worth sending. Its language is the inviter's: that of the invited is not known yet. */
export async function findInvitationToMail(
  db: Db,
  id: string,
): Promise<{ email: string; clientId: string; clientName: string; locale: string; tokenHash: Buffer } | undefined> {
  const [row] = await db
    .select({
      tokenHash: invitations.tokenHash,
      email: invitations.email,
      clientId: invitations.clientId,
      clientName: clients.name,
      locale: sql<string>`coalesce(${users.locale}, ${LOCALES[0]})`,
    })
    .from(invitations)
    .innerJoin(clients, eq(clients.id, invitations.clientId))
    .leftJoin(users, eq(users.id, invitations.invitedBy))
    .where(and(eq(invitations.id, id), isValid))
  return row
}

/** It opens with another token from now on: the one of before was not mailed yet. */
export const renewInvitation = (tx: Db, id: string, tokenHash: Buffer) =>
  tx.update(invitations).set({ tokenHash }).where(eq(invitations.id, id))
