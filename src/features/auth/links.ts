import type { Attempts } from '~/platform/attempts'
import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import { networkOf } from '~/platform/network'
import type { Actor } from '~/platform/principal'
import type { Unit } from '~/platform/unit-of-work'
import { issueToken, type MailedPurpose } from './one-time-token'

/** Asks for the mails that carry a one-time link, few enough of them that nobody is flooded through us. */
export interface Links {
  /** To the user, if there is one; to nobody in the same time otherwise. No more than three an hour go to one address: whoever asks again is told the same. */
  send(unit: Unit, email: string, user: { id: string } | undefined, purpose: 'verify-email' | 'reset-password'): Promise<void>
  /** Another mail about the address, under the same limit. */
  allowsMail(tx: Db, email: string): Promise<boolean>
  /** Before anything else is done for a request that may send a mail. @throws DomainError `rate-limited` beyond what one network may ask for in an hour */
  admit(db: Db, actor: Actor): Promise<void>
}

const HOUR_SECONDS = 3600
const MAILS_PER_ADDRESS = { max: 3, seconds: HOUR_SECONDS }

interface Deps {
  attempts: Attempts
  linkKey: Buffer
  ttlSeconds: Record<MailedPurpose, number>
  requestsPerNetwork: number
}

export function createLinks({ attempts, linkKey, ttlSeconds, requestsPerNetwork }: Deps): Links {
  const allowsMail = (tx: Db, email: string) => attempts.spend(tx, `mails:${email.toLowerCase()}`, MAILS_PER_ADDRESS)

  return {
    allowsMail,

    async send({ tx, mail }, email, user, purpose) {
      const isAllowed = await allowsMail(tx, email)
      if (user === undefined || !isAllowed) return passTime(tx, STATEMENTS_OF_A_TOKEN)
      const { id } = await issueToken(tx, { key: linkKey, userId: user.id, purpose, ttlSeconds: ttlSeconds[purpose] })
      mail({ template: purpose, user_id: user.id, token_id: id })
    },

    async admit(db, { origin: { address } }) {
      const isAllowed = await attempts.spend(db, `mail-requests:${networkOf(address)}`, { max: requestsPerNetwork, seconds: HOUR_SECONDS })
      if (!isAllowed) throw new DomainError('rate-limited', 'Too many mails were asked for from here.', { retryAfterSeconds: HOUR_SECONDS })
    },
  }
}

const STATEMENTS_OF_A_TOKEN = 3

/** As many round trips as the work that is left out would have taken: the time of an answer does not tell whether an address is known. */
export async function passTime(tx: Db, statements: number): Promise<void> {
  for (let i = 0; i < statements; i++) await tx.execute('select 1')
}
