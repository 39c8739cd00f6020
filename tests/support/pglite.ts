import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { embeddedPostgresUrl, launchPostgres } from '~/processes/embedded-postgres'
import type { Launched } from '~/processes/launched'
import { findFreePort } from '~/processes/ports'
import { dependencies } from '../../package.json'

const CACHE = join(import.meta.dir, '../../node_modules/.cache/evo-ai')
const PASSWORD = 'only-for-tests'

/** An embedded PostgreSQL with an empty database in `folder`, as the server starts it. */
export async function startPglite(folder: string) {
  const dataDir = join(folder, 'postgres')
  await Bun.$`cp -R ${await template()} ${dataDir}` // a thousand files: cpSync takes ten times as long
  const options = { dataDir, port: await findFreePort(), password: PASSWORD }
  const process = launchPostgres({ ...options, disposable: folder }, Bun.env)
  await serving(process)
  return { process, options, url: embeddedPostgresUrl(options) }
}

export async function serving(process: Launched) {
  const how = await Promise.race([process.ready, process.exited])
  if (typeof how === 'string') throw new Error(`${process.instance} does not start: ${how}`)
}

/** A fresh data directory takes 4 s to make and 0.05 s to copy, so one is kept. */
async function template(): Promise<string> {
  const path = join(CACHE, `postgres-${dependencies['@electric-sql/pglite']}`)
  if (existsSync(path)) return path
  mkdirSync(CACHE, { recursive: true })
  const draft = mkdtempSync(join(CACHE, 'draft-'))
  const maker = launchPostgres({ dataDir: join(draft, 'postgres'), port: await findFreePort(), password: PASSWORD }, Bun.env)
  await serving(maker)
  maker.kill('SIGTERM')
  await maker.exited
  try {
    renameSync(join(draft, 'postgres'), path)
  } catch (error) {
    if (!existsSync(path)) throw error // else another test process was faster
  }
  rmSync(draft, { recursive: true, force: true })
  return path
}
