import { setLocale } from '~/features/users/queries'
import type { OwnLocale, User } from '~/features/users/schema'
import { authorize } from '~/platform/access'
import { notFound } from '~/platform/errors'
import type { UserPrincipal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'

/** The language that a person reads. */
export const createOwnLocale = ({ write }: { write: Write }) => ({
  changeLocale(principal: UserPrincipal, { locale }: OwnLocale): Promise<User> {
    authorize(principal, 'write', { kind: 'account', userId: principal.userId })
    return write(principal, async ({ tx, audit }) => {
      const user = await setLocale(tx, principal.userId, locale)
      if (user === undefined) throw notFound('User')
      audit({ action: 'update', resourceType: 'user', resourceId: user.id, details: { locale } })
      return user
    })
  },
})
