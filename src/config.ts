import { availableParallelism } from 'node:os'
import { isAbsolute, resolve } from 'node:path'

/**
 * Every setting of the server: its name, meaning, default and rule. `loadConfig` reads them once at boot; nothing else reads the environment.
 * `.env.example` and the README's table are held against this list by tests/config.test.ts.
 */
export interface Setting {
  name: string
  /** The reference's or a platform's other spelling, read when `name` is absent. */
  alias?: string
  group: string
  doc: string
  /** What applies when the variable is absent, in the words of the documentation. */
  fallback: string
  secret?: true
}

export class ConfigError extends Error {
  override name = 'ConfigError'
}

export type Role = 'all' | 'api' | 'worker'
export type Config = ReturnType<typeof loadConfig>

type Env = Record<string, string | undefined>

/** Values from samples and manuals: a server that runs on one of them is open to everybody who can read. */
const SAMPLE_SECRETS = [
  'your-jwt-secret-key',
  'your-encryption-key',
  'changeme',
  'change-me',
  'secret',
  'placeholder',
  'example',
  'your-secret',
  'your_jwt',
]

/** Collects all faults before it refuses, so that an operator sees them at once. */
class Reader {
  readonly faults: string[] = []
  readonly settings: Setting[] = []
  group = ''

  constructor(private readonly env: Env) {}

  private raw(setting: Setting): string | undefined {
    this.settings.push(setting)
    const value = this.env[setting.name] ?? (setting.alias === undefined ? undefined : this.env[setting.alias])
    return value === undefined || value.trim() === '' ? undefined : value.trim()
  }

  private read<T>(
    name: string,
    doc: string,
    fallback: T,
    parse: (raw: string) => T | undefined,
    expected: string,
    extra: Partial<Setting> & { shown?: string } = {},
  ): T {
    const { shown, ...rest } = extra
    const raw = this.raw({ name, doc, group: this.group, fallback: shown ?? String(fallback ?? ''), ...rest })
    if (raw === undefined) return fallback
    const value = parse(raw)
    if (value !== undefined) return value
    this.faults.push(`${name} must be ${expected}${rest.secret ? '' : `, not "${raw.slice(0, 60)}"`}`)
    return fallback
  }

  text = (name: string, doc: string, fallback: string, extra?: Partial<Setting> & { shown?: string }) =>
    this.read(name, doc, fallback, (raw) => raw, 'text', extra)

  optional = (name: string, doc: string, extra?: Partial<Setting> & { shown?: string }) =>
    this.read<string | undefined>(name, doc, undefined, (raw) => raw, 'text', extra)

  integer = (name: string, doc: string, fallback: number, min: number, max: number, extra?: Partial<Setting>) =>
    this.read(
      name,
      doc,
      fallback,
      (raw) => {
        const value = /^-?\d{1,15}$/.test(raw) ? Number(raw) : Number.NaN
        return value >= min && value <= max ? value : undefined
      },
      `a whole number from ${min} to ${max}`,
      extra,
    )

  flag = (name: string, doc: string, fallback: boolean, extra?: Partial<Setting> & { shown?: string }) =>
    this.read(name, doc, fallback, (raw) => FLAGS[raw.toLowerCase()], 'true or false', extra)

  choice = <const T extends string>(name: string, doc: string, fallback: T, choices: readonly T[]) =>
    this.read(name, doc, fallback, (raw) => choices.find((choice) => choice === raw.toLowerCase()), `one of ${choices.join(', ')}`)

  list = (name: string, doc: string, fallback: string[], extra?: Partial<Setting> & { shown?: string }) =>
    this.read(
      name,
      doc,
      fallback,
      (raw) =>
        raw
          .split(',')
          .map((item) => item.trim())
          .filter(Boolean),
      'a list separated by commas',
      { shown: fallback.join(','), ...extra },
    )

  url = (name: string, doc: string, fallback: string | undefined, extra?: Partial<Setting> & { shown?: string }) =>
    this.read<string | undefined>(
      name,
      doc,
      fallback,
      (raw) => (URL.canParse(raw) && /^https?:/.test(raw) ? raw.replace(/\/+$/, '') : undefined),
      'an http or https URL',
      extra,
    )

  /** At least 32 bytes and no sample value; `undefined` when it is absent. */
  secret = (name: string, doc: string, shown: string): string | undefined =>
    this.read<string | undefined>(
      name,
      doc,
      undefined,
      (raw) => (isStrongSecret(raw) ? raw : undefined),
      'a random value of at least 32 bytes',
      { secret: true, shown },
    )
}

const FLAGS: Record<string, boolean> = { true: true, '1': true, yes: true, on: true, false: false, '0': false, no: false, off: false }

export function isStrongSecret(value: string): boolean {
  const lower = value.toLowerCase()
  if (Buffer.byteLength(value) < 32 || new Set(value).size < 8) return false
  return !SAMPLE_SECRETS.some((sample) => lower.includes(sample))
}

/**
 * Reads and checks the environment. Relative paths are taken from the working directory.
 * @throws ConfigError naming every setting that is missing or wrong, and no secret value.
 */
export function loadConfig(env: Env) {
  const read = new Reader(env)
  const config = readAll(read, env)
  if (read.faults.length > 0) throw new ConfigError(read.faults.join('; '))
  return config
}

/** The settings in the order of the documentation. */
export function listSettings(): Setting[] {
  const read = new Reader({})
  readAll(read, {})
  return read.settings
}

function readAll(read: Reader, env: Env) {
  read.group = 'Server'
  const production =
    read.choice('NODE_ENV', 'In `production` secrets must come from the environment and development pages are off.', 'development', [
      'development',
      'production',
      'test',
    ]) === 'production'
  const port = read.integer('PORT', 'Port of the HTTP server.', 8000, 0, 65535)
  const server = {
    production,
    port,
    host: read.text('HOST', 'Address to listen on.', '0.0.0.0'),
    role: read.choice('EVO_ROLE', 'What this container runs: `all`, `api` or `worker`.', 'all', [
      'all',
      'api',
      'worker',
    ] as const) satisfies Role,
    apiProcesses: read.integer(
      'EVO_API_PROCESSES',
      'API processes that share the port.',
      Math.min(4, Math.max(2, availableParallelism())),
      1,
      64,
      { fallback: 'cores, 2 to 4' },
    ),
    dataDir: absolute(read.text('EVO_DATA_DIR', 'Where the embedded services and generated secrets live.', '.data')),
    noInstall: read.flag('EVO_NO_INSTALL', 'Forbids installing redis-server with apt-get on first start.', false),
    shutdownGraceSeconds: read.integer(
      'SHUTDOWN_GRACE_SECONDS',
      'How long a stop waits for requests, streams and jobs in hand.',
      30,
      1,
      600,
    ),
    drainSeconds: read.integer(
      'SHUTDOWN_DRAIN_SECONDS',
      'How long readiness answers 503 before the listener closes, so that a load balancer notices.',
      production ? 5 : 0,
      0,
      300,
      { fallback: '5 in production, else 0' },
    ),
    logLevel: read.choice('LOG_LEVEL', 'Least level that is logged: debug, info, warn, error or silent.', 'info', [
      'debug',
      'info',
      'warn',
      'error',
      'silent',
    ] as const),
    debug: read.flag('DEBUG', 'Logs at level debug.', false),
  }

  read.group = 'Addresses'
  const apiUrl = read.url('API_URL', 'Public URL of this server: agent cards, problem types, links.', `http://localhost:${port}`, {
    shown: 'http://localhost:$PORT',
  }) as string
  const appUrl = read.url('APP_URL', 'URL of the web frontend: the links in mails.', apiUrl, { shown: '$API_URL' }) as string
  const addresses = {
    apiUrl,
    appUrl,
    corsOrigins: read.list(
      'CORS_ORIGINS',
      'Origins whose browsers may call the API; `*` allows any, without credentials.',
      [new URL(appUrl).origin],
      { shown: 'the origin of $APP_URL' },
    ),
    allowedHosts: read.list(
      'ALLOWED_HOSTS',
      'Host names that requests may carry (`*.example.com` and `*` allowed); others get 421.',
      [...new Set([new URL(apiUrl).hostname, 'localhost', '127.0.0.1', '[::1]'])],
      { shown: 'the host of $API_URL and the loopback names; outside production also any IP address' },
    ),
    trustedProxies: read.list('TRUSTED_PROXIES', 'Addresses (CIDR) of load balancers whose `X-Forwarded-For` is believed.', []),
    outboundAllow: read.list('OUTBOUND_ALLOW', 'Hosts, host:port or CIDR ranges that tenant URLs may reach although they are private.', []),
  }

  read.group = 'About'
  const about = {
    title: read.text('API_TITLE', 'Title of the API document.', 'Evo AI API'),
    description: read.text('API_DESCRIPTION', 'Description of the API document.', 'API for executing AI agents'),
    version: read.text('API_VERSION', 'Version that `/` and the API document state.', '1.0.0'),
    organizationName: read.text('ORGANIZATION_NAME', 'Provider in agent cards.', 'Evo AI'),
    organizationUrl: read.text('ORGANIZATION_URL', "Provider's page in agent cards.", 'https://evoai.evoapicloud.com'),
  }

  read.group = 'PostgreSQL'
  const database = {
    url: read.optional('DATABASE_URL', 'PostgreSQL 15 or newer. Absent: an embedded PostgreSQL in EVO_DATA_DIR.', {
      alias: 'POSTGRES_CONNECTION_STRING',
      secret: true,
      shown: 'embedded',
    }),
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
      "`require`, `verify` (with the system's authorities) or `off`. Default: `off` for loopback and embedded, `require` elsewhere; `sslmode` in the URL wins.",
      'auto',
      ['auto', 'require', 'verify', 'off'] as const,
    ),
  }

  read.group = 'Redis'
  const redisHost = read.optional('REDIS_HOST', "The reference's form: used when REDIS_URL is absent.")
  const redisParts = {
    port: read.integer('REDIS_PORT', 'With REDIS_HOST.', 6379, 1, 65535),
    db: read.integer('REDIS_DB', 'With REDIS_HOST.', 0, 0, 1024),
    password: read.optional('REDIS_PASSWORD', 'With REDIS_HOST.', { secret: true }),
    ssl: read.flag('REDIS_SSL', 'With REDIS_HOST: TLS.', false),
  }
  const redisUrl = read.optional(
    'REDIS_URL',
    'Redis 7 or newer, or Valkey (`redis://`, `rediss://`). Absent: a private redis-server in EVO_DATA_DIR.',
    { secret: true, shown: 'embedded' },
  )
  const redis = {
    url: redisUrl ?? (redisHost === undefined ? undefined : redisUrlOf(redisHost, redisParts)),
    keyPrefix: read.text('REDIS_KEY_PREFIX', 'Begins every key.', 'evoai:'),
    commandTimeoutMs: read.integer('REDIS_COMMAND_TIMEOUT_MS', 'Deadline of one command on the request path.', 200, 10, 10_000),
  }

  read.group = 'Access'
  const access = {
    jwtSecret: read.secret(
      'JWT_SECRET_KEY',
      'Signs access tokens (HS256), at least 32 bytes.',
      'generated in EVO_DATA_DIR outside production',
    ),
    jwtAlgorithm: read.choice('JWT_ALGORITHM', 'Kept for the reference; HS256 is the only one.', 'hs256', ['hs256'] as const),
    jwtPreviousSecrets: read.list('JWT_PREVIOUS_SECRETS', 'Retired signing secrets that are still accepted.', [], { secret: true }),
    accessTokenSeconds: read.integer('JWT_EXPIRATION_TIME', 'Life of an access token in seconds.', 1800, 60, 86_400),
    issuer: read.text('JWT_ISSUER', '`iss` of our tokens.', apiUrl, { shown: '$API_URL' }),
    audience: read.text('JWT_AUDIENCE', '`aud` of our tokens.', 'evo-ai-api'),
    encryptionKeys: read.optional('ENCRYPTION_KEY', 'Key-encryption keys, newest first, separated by commas; each at least 32 bytes.', {
      secret: true,
      shown: 'generated in EVO_DATA_DIR outside production',
    }),
    bcryptCost: read.integer('BCRYPT_COST', 'Work factor of new password hashes.', 12, 4, 15),
    passwordMinLength: read.integer('PASSWORD_MIN_LENGTH', 'Least length of a password in characters.', 8, 8, 128),
    tokenExpiryHours: read.integer('TOKEN_EXPIRY_HOURS', 'Validity of a verification link in hours.', 24, 1, 720),
    resetExpiryHours: read.integer('RESET_TOKEN_EXPIRY_HOURS', 'Validity of a password reset link in hours.', 1, 1, 72),
    invitationHours: read.integer('INVITATION_EXPIRY_HOURS', 'Validity of an invitation in hours.', 168, 1, 720),
    adminEmail: read.text('ADMIN_EMAIL', 'The first admin, created when there is none.', 'admin@evoai.com'),
    adminInitialPassword: read.optional('ADMIN_INITIAL_PASSWORD', 'Its first password. Absent: generated and printed once.', {
      secret: true,
      shown: 'generated',
    }),
  }

  read.group = 'Rates'
  const rates = {
    signInPerMinute: read.integer(
      'RATE_SIGN_IN_PER_MINUTE',
      'Sign-in, sign-up and mail requests per address and minute.',
      60,
      1,
      1_000_000,
    ),
    requestsPerMinute: read.integer('RATE_REQUESTS_PER_MINUTE', 'Requests per caller and minute.', 6000, 1, 100_000_000),
    chatsPerMinute: read.integer('RATE_CHATS_PER_MINUTE', 'Runs started per caller and minute.', 600, 1, 10_000_000),
  }

  read.group = 'Mail'
  const sendgridKey = read.optional('SENDGRID_API_KEY', 'Key of SendGrid.', { secret: true })
  const email = {
    provider: read.choice(
      'EMAIL_PROVIDER',
      '`sendgrid`, `smtp`, or `mailbox` (kept in the database, shown at /dev/mailbox outside production).',
      sendgridKey === undefined ? 'mailbox' : 'sendgrid',
      ['sendgrid', 'smtp', 'mailbox'] as const,
    ),
    from: read.text('EMAIL_FROM', 'Sender of all mails.', 'noreply@yourdomain.com'),
    sendgridKey,
    sendgridBaseUrl: read.url('SENDGRID_BASE_URL', "SendGrid's address.", 'https://api.sendgrid.com') as string,
    sendTimeoutMs: read.integer('EMAIL_TIMEOUT_MS', 'Deadline of one call to the mail provider.', 10_000, 100, 120_000),
    unknownHoldSeconds: read.integer(
      'EMAIL_UNKNOWN_HOLD_SECONDS',
      'How long a mail whose outcome is unknown waits for its delivery event before it is sent again.',
      120,
      1,
      86_400,
    ),
    smtp: {
      host: read.optional('SMTP_HOST', 'SMTP server.'),
      port: read.integer('SMTP_PORT', 'Its port.', 587, 1, 65535),
      user: read.optional('SMTP_USER', 'User name.'),
      password: read.optional('SMTP_PASSWORD', 'Password.', { secret: true }),
      useTls: read.flag('SMTP_USE_TLS', 'Demands STARTTLS.', true),
      useSsl: read.flag('SMTP_USE_SSL', 'TLS from the first byte.', false),
      from: read.optional('SMTP_FROM', 'Sender, instead of EMAIL_FROM.'),
    },
  }

  read.group = 'Models'
  const models = {
    openaiBaseUrl: read.url('OPENAI_BASE_URL', "OpenAI's address, with its version path.", 'https://api.openai.com/v1') as string,
    anthropicBaseUrl: read.url(
      'ANTHROPIC_BASE_URL',
      "Anthropic's address, with its version path.",
      'https://api.anthropic.com/v1',
    ) as string,
    geminiBaseUrl: read.url(
      'GEMINI_BASE_URL',
      "Google's address, with its version path.",
      'https://generativelanguage.googleapis.com/v1beta',
    ) as string,
    compatibleBaseUrl: read.url('OPENAI_COMPATIBLE_BASE_URL', 'Address behind models named `openai-compatible/…`.', undefined),
    openaiKey: read.optional('OPENAI_API_KEY', 'Used by agents without a key of their own. Absent: such agents are refused.', {
      secret: true,
    }),
    anthropicKey: read.optional('ANTHROPIC_API_KEY', 'The same for Anthropic.', { secret: true }),
    geminiKey: read.optional('GEMINI_API_KEY', 'The same for Google.', { secret: true }),
    callTimeoutMs: read.integer('MODEL_TIMEOUT_MS', 'Deadline of one model call.', 300_000, 1000, 3_600_000),
  }

  read.group = 'Runs'
  const runs = {
    leaseSeconds: read.integer('RUN_LEASE_SECONDS', 'A run whose process is silent for so long is taken over.', 10, 2, 600),
    timeoutSeconds: read.integer('RUN_TIMEOUT_SECONDS', 'Wall time of one run.', 600, 1, 86_400),
    maxSteps: read.integer('RUN_MAX_STEPS', 'Model and tool steps of one run.', 50, 1, 10_000),
    maxHistory: read.integer('RUN_MAX_HISTORY', 'Events of a session that a model is shown, newest first.', 200, 1, 10_000),
    concurrentPerClient: read.integer('RUNS_PER_CLIENT', 'Runs of one client at the same time.', 50, 1, 100_000),
    recoveryConcurrency: read.integer(
      'RUN_RECOVERY_CONCURRENCY',
      'Recovered and background runs that one worker executes at the same time.',
      50,
      1,
      10_000,
    ),
  }

  read.group = 'Limits'
  const limits = {
    bodyBytes: read.integer('MAX_BODY_BYTES', 'Largest request body.', 1_048_576, 1024, 1_073_741_824),
    uploadBytes: read.integer(
      'MAX_UPLOAD_BYTES',
      'Largest body of chat and import requests, which carry files.',
      73_400_320,
      1024,
      1_073_741_824,
    ),
    toolTimeoutMs: read.integer('TOOL_TIMEOUT_MS', 'Longest a tool may take.', 30_000, 100, 600_000),
    toolResponseBytes: read.integer('TOOL_RESPONSE_BYTES', "Largest decoded answer of a tenant's URL.", 1_048_576, 1024, 104_857_600),
  }

  if (production) requireInProduction(read, { env, access, email, database, redis })
  for (const secret of access.jwtPreviousSecrets)
    if (!isStrongSecret(secret)) read.faults.push('JWT_PREVIOUS_SECRETS must be random values of at least 32 bytes')
  for (const key of access.encryptionKeys?.split(',') ?? [])
    if (!isStrongSecret(key.trim())) read.faults.push('ENCRYPTION_KEY must be random values of at least 32 bytes, no sample')
  if (email.provider === 'sendgrid' && email.sendgridKey === undefined)
    read.faults.push('SENDGRID_API_KEY is needed by EMAIL_PROVIDER=sendgrid')
  if (email.provider === 'smtp' && email.smtp.host === undefined) read.faults.push('SMTP_HOST is needed by EMAIL_PROVIDER=smtp')
  for (const [name, url, protocols] of [
    ['DATABASE_URL', database.url, ['postgres:', 'postgresql:']],
    ['REDIS_URL', redis.url, ['redis:', 'rediss:']],
  ] as const) {
    if (url !== undefined && !(URL.canParse(url) && (protocols as readonly string[]).includes(new URL(url).protocol)))
      read.faults.push(`${name} must be a ${protocols[0]}//… URL`)
  }
  return { ...server, ...addresses, about, database, redis, access, rates, email, models, runs, limits }
}

function requireInProduction(
  read: Reader,
  {
    env,
    access,
    email,
    database,
    redis,
  }: {
    env: Env
    access: { jwtSecret?: string | undefined; encryptionKeys?: string | undefined; adminInitialPassword?: string | undefined }
    email: { provider: string }
    database: { url?: string | undefined }
    redis: { url?: string | undefined }
  },
) {
  const missing = (name: string) => env[name] === undefined || env[name]?.trim() === ''
  if (access.jwtSecret === undefined && missing('JWT_SECRET_KEY'))
    read.faults.push('JWT_SECRET_KEY is required in production (openssl rand -base64 48)')
  if (access.encryptionKeys === undefined) read.faults.push('ENCRYPTION_KEY is required in production (openssl rand -base64 48)')
  if (database.url === undefined) read.faults.push('DATABASE_URL is required in production')
  if (redis.url === undefined) read.faults.push('REDIS_URL is required in production')
  if (email.provider === 'mailbox') read.faults.push('EMAIL_PROVIDER must be sendgrid or smtp in production')
  if (access.adminInitialPassword === 'strongpassword123') read.faults.push('ADMIN_INITIAL_PASSWORD is the sample value')
}

const absolute = (path: string) => (isAbsolute(path) ? path : resolve(process.cwd(), path))

function redisUrlOf(host: string, { port, db, password, ssl }: { port: number; db: number; password: string | undefined; ssl: boolean }) {
  return `${ssl ? 'rediss' : 'redis'}://${password === undefined ? '' : `:${encodeURIComponent(password)}@`}${host}:${port}/${db}`
}
