import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { startServer } from './start/running-server'
import { services } from './support/services'

const dataDir = mkdtempSync(join(tmpdir(), 'evo-readme-'))
// The tour is a newcomer's: the first admin is created by this very start.
const sql = postgres(services.databaseUrl, { max: 1, prepare: false, onnotice: () => {} })
await sql`truncate clients, users, outbox, deliveries, audit_logs cascade`
await sql.end()
const server = startServer({
  EVO_DATA_DIR: dataDir,
  DATABASE_URL: services.databaseUrl,
  REDIS_URL: services.redisUrl,
  REDIS_KEY_PREFIX: `readme-${crypto.randomUUID()}:`,
  BCRYPT_COST: '4',
  EMAIL_PROVIDER: 'mailbox',
  ADMIN_EMAIL: 'readme@example.com',
  ADMIN_INITIAL_PASSWORD: 'a password for the tour',
})
beforeAll(async () => {
  await server.ready()
}, 60_000)
afterAll(async () => {
  server.kill('SIGTERM')
  await server.exited()
  rmSync(dataDir, { recursive: true, force: true })
})

/** The shell blocks of one section, in order. */
async function shellBlocks(section: string): Promise<string> {
  const text = await Bun.file(join(import.meta.dir, '../README.md')).text()
  const start = text.indexOf(`## ${section}`)
  const end = text.indexOf('\n## ', start + 1)
  return [...text.slice(start, end).matchAll(/```bash\n(.*?)```/gs)].map(([, code]) => code).join('\n')
}

const hasCurl = Bun.which('curl') !== null
if (!hasCurl) console.warn("curl is not installed: the README's tour is skipped")

test.skipIf(!hasCurl)(
  "the README's curl tour works as it is written, from the sign-up to the audit log",
  async () => {
    const address = `${crypto.randomUUID()}@example.com`
    const tour = (await shellBlocks('A tour with curl'))
      .replaceAll('http://localhost:8000', server.url())
      .replaceAll('ada@example.com', address)
    const script = `set -euo pipefail\n${tour.replaceAll('YOUR-ADMIN-PASSWORD', 'a password for the tour').replaceAll('admin@evoai.com', 'readme@example.com')}`
    const run = Bun.spawn(['bash', '-c', script], { stdout: 'pipe', stderr: 'pipe' })
    const [out, err, code] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text(), run.exited])
    expect(`${code} ${err}`).toBe('0 ')
    expect(out).toContain('Email verified successfully')
    expect(out).toContain('event: run-finished')
    expect(out).toContain('"response":"Echo: What is new?"')
    expect(out).toContain('"author":"user"')
    expect(out).toContain('"action":"login"')
  },
  60_000,
)
