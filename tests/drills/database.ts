import { silentLog } from '~/platform/log'
import { migrate } from '../../db/migrate'
import { startNativePostgres } from '../support/native-postgres'

/** A migrated PostgreSQL for the time of `work`: the one that DATABASE_URL names, which must be one to throw away, else one of its own. */
export async function withDatabase(work: (url: string) => Promise<void>) {
  const given = process.env.DATABASE_URL
  const own = given === undefined ? await startNativePostgres() : undefined
  const url = given ?? own?.url ?? ''
  try {
    await migrate({ url, log: silentLog })
    await work(url)
  } finally {
    await own?.stop()
  }
}
