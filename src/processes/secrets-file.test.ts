import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isStrongSecret } from '~/config'
import { loadSecrets } from './secrets-file'

const folder = mkdtempSync(join(tmpdir(), 'evo-secrets-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('secrets are made once, strong, different, and for their owner only', () => {
  const dataDir = join(folder, 'new')
  const secrets = loadSecrets(dataDir)
  expect(Object.values(secrets).every(isStrongSecret)).toBe(true)
  expect(new Set(Object.values(secrets)).size).toBe(4)
  expect(statSync(join(dataDir, 'secrets.json')).mode & 0o777).toBe(0o600)
  expect(loadSecrets(dataDir)).toEqual(secrets)
})

test('a damaged file is refused and kept: new keys would make all that is encrypted unreadable', () => {
  for (const text of ['', '{', 'null', '{"jwtSecret":"x"}']) {
    writeFileSync(join(folder, 'secrets.json'), text)
    expect(() => loadSecrets(folder)).toThrow('is damaged')
  }
})
