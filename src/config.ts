import { readAccess, readDemo, readRates } from './config/access'
import { readAudit } from './config/audit'
import { readFiles } from './config/files'
import { readMail } from './config/mail'
import { readMcp } from './config/mcp'
import { type Env, Reader, type Setting } from './config/reader'
import { readLimits, readModels, readRuns } from './config/runs'
import { readAbout, readAddresses, readServer } from './config/server'
import { readDatabase, readRedis } from './config/stores'

export { isStrongSecret, type Setting } from './config/reader'

/** What is wrong with the environment, on one line: a complaint for each setting, none of them with a secret in it. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

export type Config = ReturnType<typeof loadConfig>
export type Role = Config['role']

/**
 * Reads and checks the environment, once at boot; nothing else reads it. Each setting stands in src/config/ with its meaning, default and rule.
 * Relative paths are taken from the working directory.
 * @throws ConfigError naming every setting that is missing or wrong
 */
export function loadConfig(env: Env) {
  const read = new Reader(env)
  const config = readAll(read)
  checkTogether(read, config)
  if (config.production) requireInProduction(read, config)
  if (read.faults.length > 0) throw new ConfigError([...new Set(read.faults)].join('; '))
  return config
}

/** The settings in the order of the documentation: `.env.example` and the README's table are held against them by tests/config.test.ts. */
export function listSettings(): Setting[] {
  const read = new Reader({})
  readAll(read)
  return read.settings
}

function readAll(read: Reader) {
  const server = readServer(read)
  const addresses = readAddresses(read, server.port)
  return {
    ...server,
    ...addresses,
    about: readAbout(read),
    database: readDatabase(read),
    redis: readRedis(read),
    access: readAccess(read, addresses),
    demo: readDemo(read),
    rates: readRates(read),
    email: readMail(read),
    audit: readAudit(read),
    models: readModels(read),
    runs: readRuns(read),
    mcp: readMcp(read),
    files: readFiles(read),
    limits: readLimits(read),
  }
}

type Settings = ReturnType<typeof readAll>

function checkTogether(read: Reader, { access, mcp, drainSeconds, shutdownGraceSeconds }: Settings) {
  if (drainSeconds >= shutdownGraceSeconds && read.raw('SHUTDOWN_DRAIN_SECONDS') !== undefined)
    read.faults.push(
      `SHUTDOWN_DRAIN_SECONDS must be less than the ${shutdownGraceSeconds} of SHUTDOWN_GRACE_SECONDS, of which it is a part`,
    )
  if (mcp.runnerUrl !== undefined && mcp.runnerToken === undefined)
    read.faults.push('MCP_RUNNER_URL needs MCP_RUNNER_TOKEN, the same as the runner has')
  const { adminInitialPassword: password, passwordMinLength } = access
  if (password !== undefined && [...password].length < passwordMinLength)
    read.faults.push(`ADMIN_INITIAL_PASSWORD must have at least ${passwordMinLength} characters`)
}

function requireInProduction(read: Reader, { role, access, database, redis, email, demo, mcp }: Settings) {
  // A value that is there but no good has been complained about.
  const demand = (name: string, value: unknown, advice = '') => {
    if (!value && read.raw(name) === undefined) read.faults.push(`${name} is required in production${advice}`)
  }
  // It has no access to what the others protect.
  if (role === 'runner') return demand('MCP_RUNNER_TOKEN', mcp.runnerToken, ' (openssl rand -base64 48)')
  demand('JWT_SECRET_KEY', access.jwtSecret, ' (openssl rand -base64 48)')
  demand('ENCRYPTION_KEY', access.encryptionKeys, ' (openssl rand -base64 48)')
  demand('DATABASE_URL', database.url)
  demand('REDIS_URL', redis.url)
  if (email.provider === 'mailbox') read.faults.push('EMAIL_PROVIDER must be sendgrid or smtp in production')
  if (access.adminInitialPassword === SAMPLE_PASSWORD) read.faults.push('ADMIN_INITIAL_PASSWORD is the sample value')
  if (demo.password === SAMPLE_DEMO_PASSWORD) read.faults.push('DEMO_PASSWORD is the sample value')
}

/** They stand in the reference's documentation. */
const SAMPLE_PASSWORD = 'strongpassword123'
const SAMPLE_DEMO_PASSWORD = 'demo123'
