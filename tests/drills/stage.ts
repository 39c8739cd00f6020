import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { clients } from '~/features/clients/table'
import { createDatabase } from '~/platform/db'
import { silentLog } from '~/platform/log'
import { createRedis } from '~/platform/redis'
import { embeddedRedisUrl } from '~/processes/embedded-redis'
import { findRedis } from '~/processes/find-redis'
import { findFreePort } from '~/processes/ports'
import { bringUpRedis } from '../support/redis'
import type { WorkerOrder } from '../support/worker-process'
import type { ProducerOrder } from './producer-process'

export type Stage = Awaited<ReturnType<typeof setStage>>

/** Both stores, the Redis one to be killed at will; and processes that are started again whenever they die. The caller closes it. */
export async function setStage(databaseUrl: string) {
  const folder = mkdtempSync(join(tmpdir(), 'evo-drill-'))
  const prefix = `drill-${crypto.randomUUID().slice(0, 8)}:`
  const redisOptions = { dataDir: join(folder, 'redis'), port: await findFreePort(), password: 'only-for-tests', persistent: true }
  const binary = await findRedis({ mayInstall: !process.env.EVO_NO_INSTALL, log: silentLog })
  let server = await bringUpRedis({ ...redisOptions, binary })
  const redisUrl = embeddedRedisUrl(redisOptions)
  const database = createDatabase({
    url: databaseUrl,
    poolSize: 4,
    prepare: true,
    statementTimeoutMs: 30_000,
    connectTimeoutMs: 5000,
    acquireTimeoutMs: 30_000,
    tls: 'auto',
    applicationName: 'drill',
    log: silentLog,
  })
  const redis = createRedis({ url: redisUrl, keyPrefix: prefix, commandTimeoutMs: 1000, name: 'drill', log: silentLog })
  await redis.ready(5000)
  const kept = new Set<{ stop(): Promise<void> }>()

  return {
    database,
    redis,
    prefix,
    place: { databaseUrl, redisUrl, prefix },

    async addClient(): Promise<string> {
      const [client] = await database.db
        .insert(clients)
        .values({ name: 'Drill', email: `${crypto.randomUUID()}@drill.example` })
        .returning({ id: clients.id })
      return client?.id ?? ''
    },

    /** Kills Redis. What it had on disk it finds again, unless all of it is to be lost. */
    async killRedis({ loseAll = false } = {}) {
      server.kill('SIGKILL')
      await server.exited
      if (loseAll) rmSync(join(folder, 'redis'), { recursive: true, force: true })
      server = await bringUpRedis({ ...redisOptions, binary })
    },

    /** A process that is there again a moment after each of its deaths, as the supervisor sees to. */
    keep(script: 'worker' | 'producer', order: Partial<WorkerOrder> | Omit<ProducerOrder, 'databaseUrl' | 'redisUrl' | 'prefix'>) {
      const path = script === 'worker' ? '../support/worker-process.ts' : 'producer-process.ts'
      const whole = JSON.stringify({ databaseUrl, redisUrl, prefix, ...order })
      let isStopping = false
      let child: Bun.Subprocess
      const start = () => {
        child = Bun.spawn([process.execPath, join(import.meta.dir, path), whole], { stdout: 'ignore', stderr: 'ignore' })
        void child.exited.then((code) => {
          // A producer that has produced everything ends with 0.
          if (!isStopping && code !== 0) setTimeout(() => isStopping || start(), 100)
        })
      }
      start()
      const one = {
        kill: () => void child.kill('SIGKILL'),
        async stop() {
          isStopping = true
          child.kill('SIGKILL')
          await child.exited
        },
      }
      kept.add(one)
      return one
    },

    async close() {
      await Promise.all([...kept].map((one) => one.stop()))
      await database.db.execute(sql`update outbox set done_at = now() where done_at is null`)
      await Promise.all([redis.close(), database.close()])
      server.kill('SIGKILL')
      await server.exited
      if (existsSync(folder)) rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Spreads `count` blows evenly over the progress of some work, so that a drill of any size meets as many. */
export function createBlows(count: number, strike: () => unknown) {
  let struck = 0
  return {
    get struck() {
      return struck
    },
    /** @param share of the work that is done, 0 to 1 */
    async at(share: number) {
      while (struck < Math.floor(share * (count + 1)) && struck < count) {
        struck += 1
        await strike()
      }
    },
  }
}

export const pick = <T>(items: T[]): T => items[Math.floor(Math.random() * items.length)] as T

/** Prints figures as two columns. */
export function printTable(title: string, rows: [string, string | number][]) {
  const width = Math.max(...rows.map(([name]) => name.length))
  process.stdout.write(`\n${title}\n${rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join('\n')}\n`)
}
