import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import type { Secrets } from '~/platform/secrets'
import { StartError } from '~/processes/start-error'
import { resealCatalogues } from './reseal-catalogues'
import { resealSecondFactors } from './reseal-second-factors'
import { runScript } from './script'

const PAGE_SIZE = 100

/**
 * Brings every client's data keys under the newest of the ENCRYPTION_KEYs, page by page, while the server runs. Each key is one statement, so that an
 * interruption loses nothing and the next run does the rest. Returns how many were re-wrapped.
 * @throws DomainError `secret-unavailable`
 */
export async function rewrapKeys({ db, secrets, signal }: { db: Db; secrets: Secrets; signal?: AbortSignal }): Promise<number> {
  let total = 0
  let after: string | undefined
  for (;;) {
    if (signal?.aborted) return total
    const { rewrapped, last } = await secrets.rewrap(db, { after, size: PAGE_SIZE })
    total += rewrapped
    if (last === undefined) return total
    after = last
  }
}

/** `bun run keys:rewrap`. Returns the exit code: 130 when it was interrupted. */
const run = (env: Record<string, string | undefined>): Promise<number> =>
  runScript(env, 'rewrap', {
    async work({ database, secrets }) {
      const stop = new AbortController()
      process.once('SIGINT', () => stop.abort())
      const job = { db: database.db, secrets, signal: stop.signal }
      const work = async () => [await rewrapKeys(job), await resealSecondFactors(job), await resealCatalogues(job)] as const
      const [total, factors, entries] = await work().catch((error) => {
        if (!(error instanceof DomainError && error.problem === 'secret-unavailable')) throw error
        throw new StartError(
          'a data key, second factor or catalogue entry does not open with any of the keys in ENCRYPTION_KEY; put the old key behind the new one',
          {
            cause: error,
          },
        )
      })
      const rest = stop.signal.aborted
        ? '; interrupted, run it again for the rest'
        : '; the older keys in ENCRYPTION_KEY are no longer needed for secrets'
      process.stdout.write(
        `${total} data keys, ${factors} second factors and ${entries} catalogue entries wrapped with the newest key${rest}\n`,
      )
      return stop.signal.aborted ? 130 : 0
    },
  })

if (import.meta.main) process.exit(await run(process.env))
