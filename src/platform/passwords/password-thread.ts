import type { PasswordAnswer, PasswordJob } from './passwords'

declare const self: Worker

self.onmessage = ({ data: job }: MessageEvent<PasswordJob>) => {
  self.postMessage(work(job))
}

function work(job: PasswordJob): PasswordAnswer {
  try {
    if (job.kind === 'hash') return { id: job.id, value: Bun.password.hashSync(job.password, { algorithm: 'bcrypt', cost: job.cost }) }
    // Only bcrypt: another algorithm's parameters could ask for gigabytes.
    const value = /^\$2[aby]\$\d{2}\$/.test(job.hash) && job.password !== '' && Bun.password.verifySync(job.password, job.hash)
    return { id: job.id, value }
  } catch (error) {
    // Bun throws on a malformed hash; the message names the fault, not the password.
    return job.kind === 'verify'
      ? { id: job.id, value: false }
      : { id: job.id, failure: error instanceof Error ? error.message : 'hashing failed' }
  }
}
