import { and, eq, sql } from 'drizzle-orm'
import type { LinkTokens } from '~/features/auth/link-tokens'
import { clients } from '~/features/clients/table'
import type { InvitationLinks } from '~/features/members/invitation-links'
import { authSessions } from '~/features/sign-ins/table'
import { users } from '~/features/users/table'
import { bareArray } from '~/platform/bare-array'
import { builtOnce } from '~/platform/built-once'
import type { Db } from '~/platform/db'
import type { MailRequest } from './schema'
import type { Facts, Rendered, RenderMail } from './templates'

export interface ComposeSettings {
  render: RenderMail
  links: LinkTokens
  invitations: InvitationLinks
}

export interface Composed extends Rendered {
  to: string
  userId: string | null
  clientId: string | null
  /** The request with the token that the mail carries, when another had to be made. */
  renewed?: MailRequest
}

export type Composition = Composed | { skip: string; to: string; userId: string | null; clientId: string | null }

export interface Recipient {
  email: string
  clientId: string | null
  locale: string
}

/** The users whom these mails go to; they stay until the transaction ends. */
export async function findRecipients(tx: Db, requests: MailRequest[]): Promise<Map<string, Recipient>> {
  const ids = requests.flatMap((request) => ('user_id' in request ? [request.user_id] : []))
  if (ids.length === 0) return new Map()
  const rows = await recipients(tx).execute({ ids: bareArray(ids) })
  return new Map(rows.map(({ id, ...recipient }) => [id, recipient]))
}

const recipients = builtOnce((db) =>
  db
    .select({ id: users.id, email: users.email, clientId: users.clientId, locale: users.locale })
    .from(users)
    .where(sql`${users.id} = any(${sql.placeholder('ids')}::uuid[])`)
    .orderBy(users.id)
    .for('key share')
    .prepare(''),
)

/** Looks up what the request only names and writes the mail, or says why there is none to send any more. `known`: see `findRecipients`. */
export async function composeMail(
  tx: Db,
  { render, links, invitations }: ComposeSettings,
  request: MailRequest,
  known: ReadonlyMap<string, Recipient>,
): Promise<Composition> {
  if (request.template === 'invitation') return composeInvitation(tx, { render, invitations }, request.invitation_id)
  if (request.template === 'email-change-requested') return composeNotice(tx, { render, links }, request)
  const user = known.get(request.user_id)
  if (user === undefined) return { skip: 'the user is gone', to: '', userId: null, clientId: null }
  const recipient = { to: user.email, userId: request.user_id, clientId: user.clientId }
  if (!isOneAddress(user.email)) return { skip: 'the address is not one that can be written to', ...recipient }
  const { email, locale } = user
  if (!('token_id' in request)) {
    const facts = await factsOf(tx, request, user.clientId)
    return facts === undefined
      ? { skip: 'what it is about is gone', ...recipient }
      : { ...recipient, ...render(request.template, { email, locale, ...facts }) }
  }

  const link = await links.forMail(tx, { tokenId: request.token_id, userId: request.user_id, purpose: request.template })
  if ('skip' in link) return { ...link, ...recipient }
  if (link.newEmail !== null) {
    if (!isOneAddress(link.newEmail)) return { skip: 'the address is not one that can be written to', ...recipient }
    if (await hasAccount(tx, link.newEmail)) return { skip: 'the address has an account already', ...recipient }
  }
  const renewed = link.id === request.token_id ? {} : { renewed: { ...request, token_id: link.id } }
  return {
    ...recipient,
    to: link.newEmail ?? user.email,
    ...render(request.template, { email, locale, token: link.token }),
    ...renewed,
  }
}

/** What some mails tell besides; undefined when there is nothing to tell any more. */
async function factsOf(tx: Db, request: MailRequest, clientId: string | null): Promise<Partial<Facts> | undefined> {
  if (request.template === 'new-sign-in') {
    const [signIn] = await tx
      .select({ address: authSessions.address, userAgent: authSessions.userAgent, at: authSessions.createdAt })
      .from(authSessions)
      .where(and(eq(authSessions.id, request.session_id), eq(authSessions.userId, request.user_id)))
    return signIn && { signIn }
  }
  if (request.template === 'budget-reached') {
    const [client] = clientId === null ? [] : await tx.select({ name: clients.name }).from(clients).where(eq(clients.id, clientId))
    return client && { clientName: client.name, budget: { spentUsd: request.spent_usd, limitUsd: request.limit_usd } }
  }
  return {}
}

const hasAccount = async (tx: Db, email: string) =>
  (
    await tx
      .select({ id: users.id })
      .from(users)
      .where(eq(sql`lower(${users.email})`, email.toLowerCase()))
  ).length > 0

/** To the address of before, also when the change was confirmed in the meantime. */
async function composeNotice(
  tx: Db,
  { render, links }: Pick<ComposeSettings, 'render' | 'links'>,
  { template, user_id: userId, token_id: tokenId }: Extract<MailRequest, { template: 'email-change-requested' }>,
): Promise<Composition> {
  const change = await links.changeOfAddress(tx, tokenId)
  if (change === undefined) return { skip: 'a newer change has taken its place', to: '', userId: null, clientId: null }
  const recipient = { to: change.from, userId, clientId: null }
  if (!isOneAddress(change.from)) return { skip: 'the address is not one that can be written to', ...recipient }
  const [user] = await tx.select({ locale: users.locale }).from(users).where(eq(users.id, userId))
  return { ...recipient, ...render(template, { email: change.from, newEmail: change.to, ...user }) }
}

async function composeInvitation(
  tx: Db,
  { render, invitations }: Pick<ComposeSettings, 'render' | 'invitations'>,
  invitationId: string,
): Promise<Composition> {
  const found = await invitations.forMail(tx, invitationId)
  if ('skip' in found) return { ...found, to: '', userId: null, clientId: null }
  const { email, clientId, clientName, locale, token } = found
  const recipient = { to: email, userId: null, clientId }
  if (!isOneAddress(email)) return { skip: 'the address is not one that can be written to', ...recipient }
  return { ...recipient, ...render('invitation', { email, locale, token, clientName }) }
}

/** One mailbox: no list, no display name, nothing that ends a header (QUEUE-01). */
const isOneAddress = (email: string) => /^[^\s\p{C}@,;:<>()[\]"\\]+@[^\s\p{C}@,;:<>()[\]"\\]+$/u.test(email)
