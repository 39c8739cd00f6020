/** `bun run drill:crash [runs]`: see crash-drill.ts. Exits with 1 when an effect was doubled or lost, or a client was told anything twice or not at all. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLog } from '~/platform/log'
import { embeddedRedisUrl } from '~/processes/embedded-redis'
import { findRedis } from '~/processes/find-redis'
import { findFreePort } from '~/processes/ports'
import { migrate } from '../../db/migrate'
import { startNativePostgres } from '../support/native-postgres'
import { bringUpRedis } from '../support/redis'
import { crashDrill } from './crash-drill'
import { signedIn } from './signed-in'

const runs = Number(process.argv[2] ?? 500)
if (!Number.isInteger(runs) || runs < 1) throw new Error('how many runs? A whole number from 1')

const folder = mkdtempSync(join(tmpdir(), 'evo-drill-'))
const postgres = await startNativePostgres()
const options = {
  binary: await findRedis({ mayInstall: false, log: silentLog }),
  dataDir: join(folder, 'redis'),
  port: await findFreePort(),
}
const redis = await bringUpRedis({ ...options, password: 'only-for-drills', persistent: false })
await migrate({ url: postgres.url, log: silentLog })

const report = await crashDrill({
  databaseUrl: postgres.url,
  redisUrl: embeddedRedisUrl({ ...options, password: 'only-for-drills' }),
  runs,
  clients: 40,
  killEveryMs: 1000,
  apis: 3,
  workers: 1,
  signIn: signedIn(postgres.url),
  onProgress: (done, kills) => {
    if (done % 50 === 0) process.stdout.write(`${done} runs, ${kills} kills\n`)
  },
})

redis.kill('SIGKILL')
await Promise.all([redis.exited, postgres.stop()])
rmSync(folder, { recursive: true, force: true })

const { failures, ...figures } = report
process.stdout.write(`${JSON.stringify(figures, null, 2)}\n`)
for (const failure of failures.slice(0, 50)) process.stdout.write(`FAILED ${failure}\n`)
const isFine = failures.length === 0 && report.doubled === 0 && report.lost === 0 && report.badStreams === 0
process.stdout.write(isFine ? 'no effect doubled, none lost, each client has each event once\n' : `${failures.length} failures\n`)
process.exit(isFine ? 0 : 1)
