import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { takeLock } from './lock-file'

const folder = mkdtempSync(join(tmpdir(), 'evo-lock-'))
let holder: Bun.Subprocess<'ignore', 'pipe', 'inherit'> | undefined
afterAll(() => {
  holder?.kill('SIGKILL')
  rmSync(folder, { recursive: true })
})

const HOLD = `
  const { takeLock } = await import(${JSON.stringify(join(import.meta.dir, 'lock-file.ts'))})
  console.log(takeLock(process.argv[1], 0) !== undefined)
  setInterval(() => {}, 1000)`

test('one process at a time has it, and kill -9 of that one frees it', async () => {
  const path = join(folder, 'lock')
  holder = Bun.spawn([process.execPath, '-e', HOLD, path], { stdin: 'ignore', stdout: 'pipe', stderr: 'inherit' })
  const { value } = await holder.stdout.getReader().read()
  expect(String(new TextDecoder().decode(value)).trim()).toBe('true')
  expect(takeLock(path, 50)).toBeUndefined()
  holder.kill('SIGKILL')
  await holder.exited
  const lock = takeLock(path, 50)
  expect(lock).toBeDefined()
  lock?.release()
})
