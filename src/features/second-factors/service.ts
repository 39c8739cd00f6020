import type { Guess } from '~/features/auth/lock'
import type { OwnPasswordCheck } from '~/features/auth/password-check'
import { authorize } from '~/platform/access'
import type { Clock } from '~/platform/clock'
import type { Db } from '~/platform/db'
import { DomainError, notFound } from '~/platform/errors'
import type { Actor, UserPrincipal } from '~/platform/principal'
import type { PlatformSecrets } from '~/platform/secrets'
import type { Unit, Write } from '~/platform/unit-of-work'
import {
  confirmFactor,
  countRecoveryCodes,
  deleteFactor,
  findFactor,
  findOwner,
  putUnconfirmed,
  replaceRecoveryCodes,
  useRecoveryCode,
  useStep,
} from './queries'
import { hashRecoveryCode, newRecoveryCodes } from './recovery-codes'
import type { FactorState, NewFactor, RecoveryCodes } from './schema'
import { newTotpSecret, stepOfCode, totpUrl } from './totp'

export type SecondFactorService = ReturnType<typeof createSecondFactorService>

interface Deps {
  db: Db
  write: Write
  secrets: PlatformSecrets
  clock: Clock
  guess: Guess
  /** The name of what is guessed at. */
  subjectOf(userId: string): string
  checkOwnPassword: OwnPasswordCheck
  /** After COMMIT: what the user may do is looked up again. */
  announceChange(userId: string): Promise<void>
}

/** Wrong codes from all networks together: three of a million are right at any time. */
const MAX_EVERYWHERE = 20
/** A ciphertext belongs to its row. */
export const secretOf = (userId: string) => `second_factors:${userId}`

export function createSecondFactorService({ db, write, secrets, clock, guess, subjectOf, checkOwnPassword, announceChange }: Deps) {
  const guessed = (user: { id: string; clientId: string | null }) => ({
    subject: subjectOf(user.id),
    everywhere: MAX_EVERYWHERE,
    user,
    failure: 'second_factor_failed',
  })

  /** What a code was; it is used up by that. */
  const use = async (userId: string, code: string): Promise<'totp' | 'recovery_code' | undefined> => {
    const factor = await findFactor(db, userId)
    if (factor === undefined || !factor.isConfirmed) return undefined
    const step = stepOfCode(secrets.open(secretOf(userId), factor.sealedSecret), code, clock.now())
    if (step !== undefined) return (await useStep(db, userId, step)) ? 'totp' : undefined
    return (await useRecoveryCode(db, userId, hashRecoveryCode(userId, code))) ? 'recovery_code' : undefined
  }

  /** Which kind of code it was; undefined for a wrong one, which counts against the user. @throws DomainError `too-many-attempts` */
  const check = async (actor: Actor, user: { id: string; clientId: string | null }, code: string): Promise<string | undefined> => {
    let kind: string | undefined
    await guess(actor, guessed(user), async () => {
      kind = await use(user.id, code)
      return kind !== undefined
    })
    return kind
  }

  const giveRecoveryCodes = async ({ tx }: Unit, userId: string): Promise<string[]> => {
    const codes = newRecoveryCodes()
    await replaceRecoveryCodes(
      tx,
      userId,
      codes.map((code) => hashRecoveryCode(userId, code)),
    )
    return codes
  }

  const note = ({ audit, mail }: Unit, action: string, { id, clientId }: { id: string; clientId: string | null }) => {
    audit({ action, resourceType: 'user', resourceId: id, clientId })
    mail({ template: 'second-factor-changed', user_id: id })
  }

  /** The password and a code: a stolen token alone changes nothing here. */
  const prove = async (principal: UserPrincipal, password: string, code: string) => {
    authorize(principal, 'write', { kind: 'account', userId: principal.userId })
    const user = await checkOwnPassword(principal, password)
    if (!user.hasSecondFactor) throw none()
    if ((await check(principal, user, code)) === undefined) throw incorrectCode()
    return user
  }

  return {
    check,

    async state(principal: UserPrincipal): Promise<FactorState> {
      authorize(principal, 'read', { kind: 'account', userId: principal.userId })
      const [factor, left] = await Promise.all([findFactor(db, principal.userId), countRecoveryCodes(db, principal.userId)])
      return { totp: factor?.isConfirmed === true, recovery_codes_left: left }
    },

    /** A secret for the device; it counts once a code of it was shown. @throws DomainError `conflict` where there is a device already */
    async begin(principal: UserPrincipal, password: string): Promise<NewFactor> {
      authorize(principal, 'write', { kind: 'account', userId: principal.userId, settingUp: 'second-factor' })
      const user = await checkOwnPassword(principal, password)
      const secret = newTotpSecret()
      const sealed = secrets.seal(secretOf(user.id), secret)
      await write(principal, async ({ tx, audit }) => {
        if (!(await putUnconfirmed(tx, user.id, sealed))) throw exists()
        audit({ action: 'begin_second_factor', resourceType: 'user', resourceId: user.id })
      })
      return { secret, otpauth_url: totpUrl(secret, user.email) }
    },

    /** @throws DomainError `incorrect-code`, `too-many-attempts`, `conflict` */
    async confirm(principal: UserPrincipal, code: string): Promise<RecoveryCodes> {
      const { userId: id, clientId } = principal
      authorize(principal, 'write', { kind: 'account', userId: id, settingUp: 'second-factor' })
      const factor = await findFactor(db, id)
      if (factor === undefined) throw none()
      if (factor.isConfirmed) throw exists()
      let step: number | undefined
      const right = await guess(principal, guessed({ id, clientId }), async () => {
        step = stepOfCode(secrets.open(secretOf(id), factor.sealedSecret), code, clock.now())
        return step !== undefined
      })
      if (!right || step === undefined) throw incorrectCode()
      const confirmed = step
      const codes = await write(principal, async (unit) => {
        if (!(await confirmFactor(unit.tx, id, factor.sealedSecret, confirmed))) throw exists()
        note(unit, 'set_up_second_factor', { id, clientId })
        return giveRecoveryCodes(unit, id)
      })
      await announceChange(id)
      return { recovery_codes: codes }
    },

    /** Takes the device away, and the recovery codes with it. @throws DomainError `incorrect-password`, `incorrect-code`, `too-many-attempts` */
    async remove(principal: UserPrincipal, password: string, code: string): Promise<void> {
      const user = await prove(principal, password, code)
      await write(principal, async (unit) => {
        if (!(await deleteFactor(unit.tx, user.id))) throw none()
        note(unit, 'remove_second_factor', user)
      })
      await announceChange(user.id)
    },

    /** Ten new ones; the old ones are good for nothing. @throws DomainError as `remove` */
    async renewRecoveryCodes(principal: UserPrincipal, password: string, code: string): Promise<RecoveryCodes> {
      const user = await prove(principal, password, code)
      return write(principal, async (unit) => {
        note(unit, 'renew_recovery_codes', user)
        return { recovery_codes: await giveRecoveryCodes(unit, user.id) }
      })
    },

    /** An admin takes away the device that somebody lost, with all codes. @throws DomainError `not-found` */
    async removeOf(principal: UserPrincipal, userId: string): Promise<void> {
      authorize(principal, 'write', { kind: 'platform' })
      await write(principal, async (unit) => {
        const user = await findOwner(unit.tx, userId)
        if (user === undefined || !(await deleteFactor(unit.tx, user.id))) throw none()
        note(unit, 'remove_second_factor', user)
      })
      await announceChange(userId)
    },
  }
}

const none = () => notFound('Second factor')
const exists = () => new DomainError('conflict', 'There is a second factor already.')
const incorrectCode = () => new DomainError('incorrect-code', 'Code is incorrect')
