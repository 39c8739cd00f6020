import type { PasswordAnswer, PasswordJob } from './passwords'

declare const self: Worker

self.onmessage = ({ data: job }: MessageEvent<PasswordJob>) => {
  self.postMessage(work(job))
}

function work(job: PasswordJob): PasswordAnswer {
  try {
    const value = job.kind === 'hash' ? Bun.password.hashSync(job.password, { algorithm: 'bcrypt', cost: job.cost }) : verify(job)
    return { id: job.id, value }
  } catch (error) {
    // The message names the fault, not the password.
    return { id: job.id, failure: error instanceof Error ? error.message : 'hashing failed' }
  }
}

/** What bcrypt looked at before libraries hashed longer passwords first. */
const BCRYPT_BYTES = 72

/**
 * A no takes as long whatever was stored: nothing, a hash of a lower cost or an imported one. So the time does not tell which accounts exist.
 * A password longer than bcrypt's own limit is tried twice, the second time cut, as some libraries stored it.
 */
function verify({ password, hash, cost, isImported }: Extract<PasswordJob, { kind: 'verify' }>): boolean {
  if (password === '') return false
  if (matches(password, hash, cost)) return true
  const bytes = Buffer.from(password)
  return bytes.length > BCRYPT_BYTES && matches(bytes.subarray(0, BCRYPT_BYTES), isImported ? hash : undefined, cost)
}

/** Only bcrypt of a bearable cost: another algorithm's parameters could ask for gigabytes, and cost 31 takes a day. */
const BCRYPT = /^\$2[aby]\$(0[4-9]|1[0-6])\$[./A-Za-z0-9]{53}$/

function matches(password: string | Uint8Array, hash: string | undefined, cost: number): boolean {
  const known = BCRYPT.exec(hash ?? '')
  if (hash !== undefined && known !== null && verifyOne(password, hash)) return true
  // Costs add up to the full one: 2^c + 2^c + 2^(c+1) + … + 2^(cost-1) = 2^cost.
  let rest = known === null ? cost : Number(known[1])
  if (known === null) verifyOne(password, nobodysHash(rest))
  for (; rest < cost; rest++) verifyOne(password, nobodysHash(rest))
  return false
}

function verifyOne(password: string | Uint8Array, hash: string): boolean {
  try {
    return Bun.password.verifySync(password, hash)
  } catch {
    // Bun throws on a salt or digest that no bcrypt writes: such a hash is nobody's.
    return false
  }
}

/** Well-formed, and of no password that anybody knows. */
const nobodysHash = (cost: number) => `$2b$${String(cost).padStart(2, '0')}$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyz01232`
