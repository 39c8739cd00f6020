import { faultOfDatabaseUrl, faultOfRedisUrl } from './formats'
import type { Reader } from './reader'

const DATABASE_URL = { name: 'DATABASE_URL', alias: 'POSTGRES_CONNECTION_STRING' }

export function readDatabase(read: Reader) {
  read.group = 'PostgreSQL'
  const url = read.optional(
    DATABASE_URL.name,
    'PostgreSQL 15 or newer, one or several hosts: `postgres://user:password@host:5432/database`.',
    { alias: DATABASE_URL.alias, secret: true, shown: 'an embedded PostgreSQL in EVO_DATA_DIR' },
  )
  const settings = {
    poolSize: read.integer('DATABASE_POOL_SIZE', 'Connections of one process.', 10, 1, 200),
    prepare: read.flag('DATABASE_PREPARE', 'Prepared statements; false behind PgBouncer in transaction mode.', true),
    statementTimeoutMs: read.integer(
      'DATABASE_STATEMENT_TIMEOUT_MS',
      'Deadline of one statement, enforced by the server and by us.',
      5000,
      100,
      600_000,
    ),
    connectTimeoutMs: read.integer('DATABASE_CONNECT_TIMEOUT_MS', 'Deadline of a new connection.', 2000, 100, 60_000),
    acquireTimeoutMs: read.integer(
      'DATABASE_ACQUIRE_TIMEOUT_MS',
      'How long a request waits for a free connection before it is answered 503.',
      1000,
      50,
      60_000,
    ),
    tls: read.choice(
      'DATABASE_TLS',
      "`off`, `require`, `verify` (with the system's authorities), or `auto`: `off` for loopback, `require` elsewhere. `sslmode` in the URL wins.",
      'auto',
      ['auto', 'require', 'verify', 'off'],
    ),
    rls: read.choice(
      'DATABASE_RLS',
      "`enforce` runs each tenant's statements under the role `evo_tenant`, whose row-level security policies show it the tenant's rows alone: a second line behind the checks of the server, at the price of two statements around each.",
      'off',
      ['off', 'enforce'],
    ),
  }
  const fault = url === undefined ? undefined : faultOfDatabaseUrl(url, settings.tls)
  if (fault !== undefined) read.faults.push(`${read.given(DATABASE_URL)} is not usable: ${fault}`)
  return { url, ...settings }
}

export function readRedis(read: Reader) {
  read.group = 'Redis'
  const given = read.optional(
    'REDIS_URL',
    'Redis 7 or newer, or Valkey: `redis://user:password@host:6379/0`, or `rediss://` with TLS, where an authority of your own is named by NODE_EXTRA_CA_CERTS.',
    {
      secret: true,
      shown: 'REDIS_HOST, else a private redis-server in EVO_DATA_DIR',
    },
  )
  const host = read.optional('REDIS_HOST', "The reference's form, with the four that follow: used when REDIS_URL is absent.")
  const parts = {
    port: read.integer('REDIS_PORT', 'With REDIS_HOST.', 6379, 1, 65535),
    db: read.integer('REDIS_DB', 'With REDIS_HOST: number of the database.', 0, 0, 1024),
    password: read.optional('REDIS_PASSWORD', 'With REDIS_HOST.', { secret: true }),
    ssl: read.flag('REDIS_SSL', 'With REDIS_HOST: TLS.', false),
  }
  const cluster = read.flag(
    'REDIS_CLUSTER',
    'Whether REDIS_URL names nodes of a Redis Cluster: one or several URLs, separated by commas; the other nodes are found.',
    false,
  )
  const master = read.optional(
    'REDIS_SENTINEL_MASTER',
    'Name of the master, where REDIS_URL names Sentinels: one or several URLs, separated by commas, with user, password and database of the servers behind them; `rediss://` is TLS to both.',
  )
  const sentinelPassword = read.optional('REDIS_SENTINEL_PASSWORD', 'What the Sentinels themselves ask for.', { secret: true })
  const url = given ?? (host === undefined ? undefined : urlOf(host, parts))
  const fault = url === undefined ? undefined : faultOfRedisUrl(url, { hasSeveral: cluster || master !== undefined, isCluster: cluster })
  if (fault !== undefined)
    read.faults.push(given === undefined ? `REDIS_HOST is not usable: ${fault}` : `REDIS_URL is not usable: ${fault}`)
  if (cluster && url === undefined) read.faults.push('REDIS_CLUSTER needs REDIS_URL or REDIS_HOST')
  if (master !== undefined && url === undefined) read.faults.push('REDIS_SENTINEL_MASTER needs REDIS_URL or REDIS_HOST')
  if (master !== undefined && cluster) read.faults.push('REDIS_SENTINEL_MASTER is not for a cluster, which elects its masters itself')
  return {
    url,
    cluster,
    sentinels: master === undefined ? undefined : { master, password: sentinelPassword },
    keyPrefix: read.text('REDIS_KEY_PREFIX', 'Begins every key.', 'evoai:'),
    commandTimeoutMs: read.integer('REDIS_COMMAND_TIMEOUT_MS', 'Deadline of one command on the request path.', 200, 10, 10_000),
    allowEviction: read.flag('REDIS_ALLOW_EVICTION', 'Whether production starts on a Redis that drops keys when it is full.', false),
  }
}

function urlOf(host: string, { port, db, password, ssl }: { port: number; db: number; password: string | undefined; ssl: boolean }) {
  return `${ssl ? 'rediss' : 'redis'}://${password === undefined ? '' : `:${encodeURIComponent(password)}@`}${host}:${port}/${db}`
}
