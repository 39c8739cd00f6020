import { eq, sql } from 'drizzle-orm'
import postgres from 'postgres'
import { auditLogs } from '~/features/audit/table'
import { issueToken, type OneTimePurpose } from '~/features/auth/one-time-token'
import { clients } from '~/features/clients/table'
import { deliveries } from '~/features/mail/table'
import { users } from '~/features/users/table'
import type { AuditPayload } from '~/platform/audit'
import { createDatabase } from '~/platform/db'
import { silentLog } from '~/platform/log'
import { GROUP, streamKey } from '~/platform/outbox/streams'
import { deadLetters, OUTBOX_KINDS, type OutboxKind, outbox } from '~/platform/outbox/table'
import { createRedis } from '~/platform/redis'
import { TOKEN_KEY } from './mail-settings'
import { services } from './services'
import type { WorkerOrder } from './worker-process'

export type Background = Awaited<ReturnType<typeof openBackground>>

/** A client of its own, streams of its own, and hands on both stores: what the tests of workers share. */
export async function openBackground({ redisUrl = services.redisUrl }: { redisUrl?: string } = {}) {
  const prefix = `test-${crypto.randomUUID().slice(0, 8)}:`
  const database = createDatabase({
    url: services.databaseUrl,
    poolSize: 4,
    prepare: true,
    statementTimeoutMs: 5000,
    connectTimeoutMs: 2000,
    acquireTimeoutMs: 5000,
    tls: 'auto',
    applicationName: 'test',
    log: silentLog,
  })
  const redis = createRedis({ url: redisUrl, keyPrefix: prefix, commandTimeoutMs: 500, name: 'test', log: silentLog })
  await redis.ready(2000)
  const { db } = database
  // What other tests left behind is not this one's work.
  await db.update(outbox).set({ doneAt: sql`now()` }).where(sql`done_at is null`)
  const [client] = await db
    .insert(clients)
    .values({ name: 'Acme', email: `${prefix}@acme.example` })
    .returning({ id: clients.id })
  const clientId = (client as { id: string }).id
  const children = new Set<Bun.Subprocess>()

  async function addUser(email = `${crypto.randomUUID()}@acme.example`): Promise<string> {
    const [user] = await db.insert(users).values({ clientId, role: 'owner', email, passwordHash: 'x' }).returning({ id: users.id })
    return (user as { id: string }).id
  }

  async function addOutboxRow(kind: OutboxKind, payload: Record<string, unknown>, owner: string | null = clientId): Promise<string> {
    const id = Bun.randomUUIDv7()
    await db.insert(outbox).values({ id, kind, clientId: owner, payload })
    return id
  }

  const pendingOf = (kind: OutboxKind) =>
    redis
      .run((connection) => connection.xpending(streamKey(redis, kind), GROUP))
      .then((reply) => Number((reply as [number])[0]))
      .catch(() => 0)

  return {
    database,
    db,
    redis,
    prefix,
    clientId,
    addUser,
    addOutboxRow,

    /** A user, a token and the request for its mail, as sign-up makes them. */
    async requestMail({
      email,
      template = 'verify-email',
      ttlSeconds = 3600,
    }: {
      email?: string
      template?: OneTimePurpose
      ttlSeconds?: number
    } = {}) {
      const userId = await addUser(email)
      const { id: tokenId } = await database.transaction((tx) => issueToken(tx, { key: TOKEN_KEY, userId, purpose: template, ttlSeconds }))
      return { id: await addOutboxRow('email', { template, user_id: userId, token_id: tokenId }), userId, tokenId }
    },

    requestAudit: (entry: Partial<AuditPayload> = {}) => addOutboxRow('audit', { ...auditPayload(clientId), ...entry }),

    /** Puts an entry into a stream as the relay does. */
    append: (kind: OutboxKind, ...fields: string[]) => redis.run((connection) => connection.xadd(streamKey(redis, kind), '*', ...fields)),

    /** Entries that a worker has read and not acknowledged; 0 while Redis is away. */
    pendingOf,
    lengthOf: (kind: OutboxKind) => redis.run((connection) => connection.xlen(streamKey(redis, kind))),

    deliveryOf: async (outboxId: string) => (await db.select().from(deliveries).where(eq(deliveries.outboxId, outboxId)))[0],
    deadLettersOf: (outboxId: string) => db.select().from(deadLetters).where(eq(deadLetters.outboxId, outboxId)),
    deadLettersOfEntry: (entryId: string) => db.select().from(deadLetters).where(sql`${deadLetters.entry}->>'entry_id' = ${entryId}`),
    /** An audit entry that was written has left the outbox. */
    isDone: async (id: string) => {
      const [row] = await db.select({ doneAt: outbox.doneAt }).from(outbox).where(eq(outbox.id, id))
      return row === undefined || row.doneAt !== null
    },
    /** How many of these nobody has marked as published. */
    unmarked: async (ids: string[]) =>
      (
        await db
          .select({ id: outbox.id })
          .from(outbox)
          .where(sql`id = any(${sql.param(ids)}::uuid[]) and relayed_at is null`)
      ).length,
    countAudits: async (ids: string[]) =>
      (
        await db
          .select({ id: auditLogs.id })
          .from(auditLogs)
          .where(sql`${auditLogs.id} = any(${sql.param(ids)}::uuid[])`)
      ).length,

    /** A real worker process; SIGKILL it at will. */
    startWorker(order: Partial<WorkerOrder> & Pick<WorkerOrder, 'queues'>) {
      const whole: WorkerOrder = { databaseUrl: services.databaseUrl, redisUrl, prefix, claimAfterMs: 500, holdSeconds: 1, ...order }
      const child = Bun.spawn([process.execPath, `${import.meta.dir}/worker-process.ts`, JSON.stringify(whole)], {
        stdout: process.env.TEST_LOGS ? 'inherit' : 'ignore',
        stderr: 'inherit',
      })
      children.add(child)
      return child
    },

    async close() {
      for (const child of children) child.kill('SIGKILL')
      await Promise.all([...children].map(({ exited }) => exited))
      await redis.run((connection) => connection.del(OUTBOX_KINDS.map((kind) => streamKey(redis, kind)))).catch(() => undefined)
      await Promise.all([redis.close(), database.close()])
    },
  }
}

export const auditPayload = (clientId: string | null): AuditPayload => ({
  user_id: null,
  actor_user_id: null,
  client_id: clientId,
  action: 'create',
  resource_type: 'agent',
  resource_id: crypto.randomUUID(),
  details: { name: 'Scout' },
  ip_address: '192.0.2.1',
  user_agent: 'test',
  trace_id: '0123456789abcdef0123456789abcdef',
  created_at: new Date().toISOString(),
})

/** Asks a worker to stop and waits until it has. */
export async function endProcess(child: Bun.Subprocess) {
  child.kill('SIGTERM')
  await child.exited
}

/** Keeps a table locked. With PGlite this stops every other session, so ask Redis and not PostgreSQL meanwhile. */
export async function lockTable(table: 'deliveries' | 'audit_logs'): Promise<{ release(): Promise<void> }> {
  const connection = postgres(services.databaseUrl, { max: 1, onnotice: () => {} })
  const locked = Promise.withResolvers<void>()
  const released = Promise.withResolvers<void>()
  const transaction = connection.begin(async (tx) => {
    await tx.unsafe(`lock table ${table} in access exclusive mode`)
    locked.resolve()
    await released.promise
  })
  await Promise.race([locked.promise, transaction])
  return {
    async release() {
      released.resolve()
      await transaction
      await connection.end()
    },
  }
}
