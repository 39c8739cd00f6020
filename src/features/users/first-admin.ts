import { randomBytes } from 'node:crypto'
import type { Passwords } from '~/platform/passwords/passwords'
import { system } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import { hasAdmin, insertUser } from './queries'

/**
 * Creates the platform's first admin when there is none; replicas that start together create one between them.
 * Returns the password if it was generated, to be printed once.
 */
export async function createFirstAdmin({
  write,
  passwords,
  email,
  password,
}: {
  write: Write
  passwords: Passwords
  email: string
  password: string | undefined
}): Promise<{ created: boolean; generatedPassword?: string }> {
  const chosen = password ?? randomBytes(18).toString('base64url')
  return write(system, async ({ tx, audit }) => {
    if (await hasAdmin(tx)) return { created: false }
    const passwordHash = await passwords.hash(chosen)
    const admin = await insertUser(tx, { email, passwordHash, isActive: true, isAdmin: true, emailVerified: true })
    if (admin === undefined) return { created: false }
    audit({ action: 'create', resourceType: 'admin_user', resourceId: admin.id, details: { email } })
    return password === undefined ? { created: true, generatedPassword: chosen } : { created: true }
  })
}
