import type { Config } from '~/config'
import { createAuthenticator } from '~/features/auth/authenticator'
import { createLinks } from '~/features/auth/links'
import { createGuess, createUnlock, secondFactorOf } from '~/features/auth/lock'
import { deriveToken, findToken, hashToken, type MailedPurpose } from '~/features/auth/one-time-token'
import { createOwnPasswordCheck, createPasswordCheck } from '~/features/auth/password-check'
import { createAuthService } from '~/features/auth/service'
import { createSignOut } from '~/features/auth/sign-out'
import { createSendVerification } from '~/features/auth/verification'
import { createClientService } from '~/features/clients/service'
import { createImpersonationService } from '~/features/impersonation/service'
import { createMachineKeyring } from '~/features/machine-keys/keyring'
import { createMachineKeyService } from '~/features/machine-keys/service'
import { detachDeliveries } from '~/features/mail/queries/deliveries'
import { createInvitationLinks } from '~/features/members/invitation-links'
import { createMemberService } from '~/features/members/service'
import { createSecondFactorService } from '~/features/second-factors/service'
import { deleteSessionsOf } from '~/features/sessions/queries'
import { createRefreshTokens } from '~/features/sign-ins/refresh-token'
import { createSignInService } from '~/features/sign-ins/service'
import { createUserService } from '~/features/users/service'
import { createHashNewPassword } from '~/platform/passwords/new-password'
import type { Machinery } from './machinery'

/** Who may come in, and the organisations they belong to. */
export function createPeople(
  { access, rates }: Config,
  { db, write, secrets, clock, passwords, tokens, admission, attempts, linkKeys, refreshKeys, log }: Machinery,
) {
  const hashNewPassword = createHashNewPassword({ passwords })
  const ttlSeconds = linkSeconds(access)
  const [linkKey] = linkKeys
  const sendVerification = createSendVerification({ linkKey, ttlSeconds: ttlSeconds['verify-email'] })
  const signOut = createSignOut({ admission })
  const guess = createGuess({ attempts, write })
  const checkPassword = createPasswordCheck({ db, passwords, guess, bcryptCost: access.bcryptCost })
  const checkOwnPassword = createOwnPasswordCheck({ db, checkPassword })
  const secondFactors = createSecondFactorService({
    db,
    write,
    secrets: secrets.platform,
    clock,
    guess,
    subjectOf: secondFactorOf,
    checkOwnPassword,
    announceChange: signOut.announceChange,
  })
  const links = createLinks({ attempts, linkKey, ttlSeconds, requestsPerNetwork: rates.mailRequestsPerHour })
  const unlock = createUnlock({ attempts })
  const signIns = createSignInService({
    db,
    write,
    tokens,
    refreshTokens: createRefreshTokens({ keys: refreshKeys }),
    signOut,
    lifeSeconds: access.refreshMaxDays * 86_400,
    idleSeconds: access.refreshIdleHours * 3600,
    overlapSeconds: access.refreshOverlapSeconds,
  })
  const users = createUserService({ db, write, hashNewPassword, sendVerification, signOut, unlock })
  const invitationTokens = {
    derive: (id: string) => deriveToken(linkKey, id),
    find: (id: string, hash: Buffer) => findToken(linkKeys, id, hash),
    hash: hashToken,
  }
  return {
    authenticator: createAuthenticator({
      db,
      tokens,
      admission,
      machineKeys: createMachineKeyring({ db, log }),
      log,
      adminsNeedSecondFactor: access.adminsNeedSecondFactor,
    }),
    auth: createAuthService({
      db,
      write,
      signIns,
      signOut,
      unlock,
      links,
      checkPassword,
      checkOwnPassword,
      checkCode: secondFactors.check,
      hashNewPassword,
      linkKey,
      emailChangeSeconds: ttlSeconds['change-email'],
    }),
    signIns,
    secondFactors,
    users,
    clients: createClientService({ db, write, users, hashNewPassword, signOut, deleteSessionsOf, detachDeliveries }),
    members: createMemberService({
      db,
      write,
      hashNewPassword,
      signOut,
      tokens: invitationTokens,
      invitationSeconds: access.invitationHours * 3600,
    }),
    invitationLinks: createInvitationLinks({ tokens: invitationTokens }),
    machineKeys: createMachineKeyService({ db, write, admission }),
    impersonation: createImpersonationService({ db, write, tokens, signOut }),
  }
}

/** How long the links of mails work: the code and the mail say the same. */
export const linkSeconds = ({ tokenExpiryHours, resetExpiryHours }: Config['access']): Record<MailedPurpose, number> => ({
  'verify-email': tokenExpiryHours * 3600,
  'reset-password': resetExpiryHours * 3600,
  'change-email': tokenExpiryHours * 3600,
})
