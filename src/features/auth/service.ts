import type { SignInService } from '~/features/sign-ins/service'
import type { Db } from '~/platform/db'
import type { HashNewPassword } from '~/platform/passwords/new-password'
import type { Write } from '~/platform/unit-of-work'
import { createEmailChange } from './email-change'
import type { Links } from './links'
import type { Unlock } from './lock'
import { createOwnPassword } from './own-password'
import type { OwnPasswordCheck, PasswordCheck } from './password-check'
import { createRegistration } from './registration'
import { type CodeCheck, createSignIn } from './sign-in'
import type { SignOut } from './sign-out'

export type AuthService = ReturnType<typeof createAuthService>

interface Deps {
  db: Db
  write: Write
  signIns: Pick<SignInService, 'start'>
  signOut: SignOut
  unlock: Unlock
  links: Links
  checkPassword: PasswordCheck
  checkOwnPassword: OwnPasswordCheck
  checkCode: CodeCheck
  hashNewPassword: HashNewPassword
  linkKey: Buffer
  emailChangeSeconds: number
}

/** What people do to come in: sign up, sign in, and see to their password and address. */
export const createAuthService = (deps: Deps) => ({
  ...createRegistration(deps),
  ...createSignIn(deps),
  ...createOwnPassword(deps),
  ...createEmailChange(deps),
})
