import { Secret, TOTP } from 'otpauth'

/** RFC 6238 as every authenticator app has it: HMAC-SHA-1, six digits, a new code every 30 seconds. */
const PERIOD_SECONDS = 30
/** Codes of the step before and after count too: clocks differ, and people type slowly. */
const WINDOW = 1
const SECRET_BYTES = 20

const totpOf = (secret: string, label = '') =>
  new TOTP({ issuer: 'Evo AI', label, algorithm: 'SHA1', digits: 6, period: PERIOD_SECONDS, secret: Secret.fromBase32(secret) })

/** In base32. */
export const newTotpSecret = (): string => new Secret({ size: SECRET_BYTES }).base32

/** What an authenticator app reads, as a link or a QR code. */
export const totpUrl = (secret: string, email: string): string => totpOf(secret, email).toString()

/** The time step that a code belongs to, of those that count now. */
export function stepOfCode(secret: string, code: string, nowMs: number): number | undefined {
  if (!/^\d{6}$/.test(code)) return undefined
  const delta = totpOf(secret).validate({ token: code, timestamp: nowMs, window: WINDOW })
  return delta === null ? undefined : Math.floor(nowMs / 1000 / PERIOD_SECONDS) + delta
}
