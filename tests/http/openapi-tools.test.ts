import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { startApp, type TestApp } from '../support/start-app'

const FOLDER = join(import.meta.dir, '../openapi-tools')
const GENERATED = join(FOLDER, 'generated')

let app: TestApp
let document: string
beforeAll(async () => {
  app = await startApp({ API_URL: 'https://api.evo.test' })
  document = JSON.stringify((await app.stranger('GET', '/openapi.json')).body)
  const install = await run([process.execPath, 'install', '--frozen-lockfile', '--silent'])
  if (install.code !== 0) throw new Error(`the tools could not be installed: ${install.out}`)
  rmSync(GENERATED, { recursive: true, force: true })
  mkdirSync(GENERATED)
}, 120_000)
afterAll(() => app.close())

async function run(command: string[], input = '') {
  const process = Bun.spawn(command, { cwd: FOLDER, stdin: new Blob([input]), stdout: 'pipe', stderr: 'pipe' })
  const [out, err, code] = await Promise.all([new Response(process.stdout).text(), new Response(process.stderr).text(), process.exited])
  return { out: out + err, code }
}

test('Spectral finds no fault in the API document', async () => {
  expect(await run([process.execPath, 'lint.mjs'], document)).toEqual({ out: '', code: 0 })
}, 60_000)

test('a typed client that is generated from the document compiles', async () => {
  await Bun.write(join(GENERATED, 'api.json'), document)
  const generated = await run([
    process.execPath,
    'node_modules/openapi-typescript/bin/cli.js',
    'generated/api.json',
    '-o',
    'generated/api.d.ts',
  ])
  expect(`${generated.code} ${generated.code === 0 ? '' : generated.out}`).toBe('0 ')
  expect(await run([process.execPath, 'node_modules/typescript/bin/tsc', '-p', '.'])).toEqual({ out: '', code: 0 })
}, 60_000)
