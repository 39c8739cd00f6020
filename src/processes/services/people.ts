import type { Config } from '~/config'
import { createAuthenticator } from '~/features/auth/authenticator'
import { deriveToken, hashToken } from '~/features/auth/one-time-token'
import { createAuthService } from '~/features/auth/service'
import { createSignOut } from '~/features/auth/sign-out'
import { createSendVerification } from '~/features/auth/verification'
import { createClientService } from '~/features/clients/service'
import { createImpersonationService } from '~/features/impersonation/service'
import { createInvitationLinks } from '~/features/members/invitation-links'
import { createMemberService } from '~/features/members/service'
import { createRefreshTokens } from '~/features/sign-ins/refresh-token'
import { createSignInService } from '~/features/sign-ins/service'
import { createUserService } from '~/features/users/service'
import { createHashNewPassword } from '~/platform/passwords/new-password'
import type { Machinery } from './machinery'

/** Who may come in, and the organisations they belong to. */
export function createPeople({ access }: Config, { db, write, passwords, tokens, admission, linkKey, refreshKey }: Machinery) {
  const hashNewPassword = createHashNewPassword({ passwords })
  const sendVerification = createSendVerification({ linkKey, ttlSeconds: access.tokenExpiryHours * 3600 })
  const signOut = createSignOut({ admission })
  const signIns = createSignInService({
    db,
    write,
    tokens,
    refreshTokens: createRefreshTokens({ key: refreshKey }),
    signOut,
    lifeSeconds: access.refreshMaxDays * 86_400,
    idleSeconds: access.refreshIdleHours * 3600,
    overlapSeconds: access.refreshOverlapSeconds,
  })
  const users = createUserService({ db, write, hashNewPassword, sendVerification, signOut })
  const invitationTokens = { derive: (id: string) => deriveToken(linkKey, id), hash: hashToken }
  return {
    authenticator: createAuthenticator({ db, tokens, admission }),
    auth: createAuthService({
      db,
      write,
      passwords,
      signIns,
      signOut,
      linkKey,
      bcryptCost: access.bcryptCost,
      verifySeconds: access.tokenExpiryHours * 3600,
      resetSeconds: access.resetExpiryHours * 3600,
    }),
    signIns,
    users,
    clients: createClientService({ db, write, users, hashNewPassword, signOut }),
    members: createMemberService({
      db,
      write,
      hashNewPassword,
      signOut,
      tokens: invitationTokens,
      invitationSeconds: access.invitationHours * 3600,
    }),
    invitationLinks: createInvitationLinks({ tokens: invitationTokens }),
    impersonation: createImpersonationService({ db, write, tokens, signOut }),
  }
}
