import { clients } from '~/features/clients/table'
import { users } from '~/features/users/table'
import type { SourceRows } from './source'
import { cut, idsOf, onlyNew, type World } from './world'

const MAX_NAME = 200
const isAddress = (email: string) => email.length >= 3 && email.length <= 254 && email.includes('@')

export async function bringClients(world: World, rows: SourceRows['clients'][]) {
  const { tx, report } = world
  const sound = (await onlyNew(world, 'clients', clients, rows)).filter(({ id, email }) => {
    if (!isAddress(email)) report.leaveOut('clients', id, 'its address is no e-mail address')
    return isAddress(email)
  })
  const brought = new Set<string>()
  for (const { id, name, email, created_at, updated_at } of sound) {
    const [inserted] = await tx
      .insert(clients)
      .values({
        id,
        name: cut(name, MAX_NAME) || email,
        email: email.toLowerCase(),
        ...(created_at === null ? {} : { createdAt: created_at }),
        updatedAt: updated_at,
      })
      .onConflictDoNothing()
      .returning({ id: clients.id })
    if (inserted === undefined) report.leaveOut('clients', id, 'another client has its address, but for upper and lower case')
    else brought.add(id)
    if (inserted !== undefined && name.length > MAX_NAME) report.change('clients', id, `its name was cut to ${MAX_NAME} characters`)
  }
  report.imported('clients', brought.size)
}

export async function bringUsers(world: World, rows: SourceRows['users'][]) {
  const { tx, report } = world
  const fresh = await onlyNew(world, 'users', users, rows)
  const known = await idsOf(
    tx,
    clients,
    fresh.flatMap(({ client_id }) => client_id ?? []),
  )
  let imported = 0
  for (const user of fresh) {
    const reason = whyNot(user, known)
    if (reason !== undefined) {
      report.leaveOut('users', user.id, reason)
      continue
    }
    const isAdmin = user.is_admin === true
    const [inserted] = await tx
      .insert(users)
      .values({
        id: user.id,
        email: user.email.toLowerCase(),
        clientId: isAdmin ? null : user.client_id,
        role: isAdmin ? null : 'owner',
        passwordHash: user.password_hash,
        // Made by a library that cuts at 72 bytes: a longer password is taken once in its cut form, and hashed whole then.
        passwordIsImported: true,
        isActive: user.is_active === true,
        isAdmin,
        emailVerified: user.email_verified === true,
        ...(user.created_at === null ? {} : { createdAt: user.created_at }),
        updatedAt: user.updated_at,
      })
      .onConflictDoNothing()
      .returning({ id: users.id })
    if (inserted === undefined) report.leaveOut('users', user.id, 'another user has the address, but for upper and lower case')
    else imported += 1
    if (inserted !== undefined && isAdmin && user.client_id !== null)
      report.change('users', user.id, 'an admin belongs to no client any more')
  }
  report.imported('users', imported)
}

function whyNot({ email, client_id, is_admin, password_hash }: SourceRows['users'], known: Set<string>): string | undefined {
  if (!isAddress(email)) return 'the address is no e-mail address'
  if (is_admin !== true && client_id === null) return 'neither an admin nor of any client'
  if (is_admin !== true && !known.has(client_id ?? '')) return 'the client did not come over'
  if (!/^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/.test(password_hash)) return 'the password hash is no bcrypt hash'
  return undefined
}
