import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { insertClient } from '~/features/users/queries'
import { DomainError } from '~/platform/errors'
import { createSecrets } from '~/platform/secrets'
import { rewrapKeys } from '../../db/rewrap-keys'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp()
})
afterAll(() => app.close())

const OLD = 'an old key-encryption key of enough bytes'
const NEW = 'a new key-encryption key of enough bytes!'
const CLIENTS = 230

const keksInUse = async () =>
  (
    await app.services.db.execute<{ kek: string; keys: number }>(
      sql`select kek_id as kek, count(*)::int as keys from client_keys group by 1`,
    )
  ).map(({ keys }) => keys)

test('keys are re-wrapped while secrets are read and written; interrupted and resumed, every secret opens with the new key alone', async () => {
  const { db } = app.services
  await db.execute(sql`truncate client_keys`)
  const before = createSecrets({ keyEncryptionKeys: [OLD] })
  const sealed: { clientId: string; text: string; token: string }[] = []
  for (let n = 0; n < CLIENTS; n++) {
    const client = await insertClient(db, { name: `client ${n}`, email: `c${n}@example.com` })
    const clientId = client?.id ?? ''
    sealed.push({ clientId, text: `secret ${n}`, token: await before.seal(db, clientId, 'test:1', `secret ${n}`) })
  }

  const both = createSecrets({ keyEncryptionKeys: [NEW, OLD] })
  const stop = new AbortController()
  const firstPage = { ...both, rewrap: (...args: Parameters<typeof both.rewrap>) => both.rewrap(...args).finally(() => stop.abort()) }
  expect(await rewrapKeys({ db, secrets: firstPage, signal: stop.signal })).toBe(100)
  expect((await keksInUse()).toSorted()).toEqual([100, 130])
  // Half of the keys are under the new one: whoever has both opens all, and writes under either.
  for (const { clientId, text, token } of sealed.slice(0, 5)) expect(await both.open(db, clientId, 'test:1', token)).toBe(text)

  expect(await rewrapKeys({ db, secrets: createSecrets({ keyEncryptionKeys: [NEW, OLD] }) })).toBe(130)
  expect(await keksInUse()).toEqual([CLIENTS])
  expect(await rewrapKeys({ db, secrets: createSecrets({ keyEncryptionKeys: [NEW, OLD] }) })).toBe(0)
  const after = createSecrets({ keyEncryptionKeys: [NEW] })
  for (const { clientId, text, token } of sealed) expect(await after.open(db, clientId, 'test:1', token)).toBe(text)
})

test('a data key of an unknown key-encryption key stops the re-wrap and stays as it is', async () => {
  const { db } = app.services
  const stranger = createSecrets({ keyEncryptionKeys: ['some other key-encryption key, long enough'] })
  const failure = await rewrapKeys({ db, secrets: stranger }).catch((error) => error)
  expect(failure).toBeInstanceOf(DomainError)
  expect(failure.problem).toBe('secret-unavailable')
  expect(await keksInUse()).toEqual([CLIENTS])
})

test('what was just opened for its owner does not open for another client or another row', async () => {
  const { db } = app.services
  const secrets = createSecrets({ keyEncryptionKeys: [NEW] })
  const [client, other] = await Promise.all(['moved', 'other'].map((name) => insertClient(db, { name, email: `${name}@example.com` })))
  const [owner, stranger] = [client?.id ?? '', other?.id ?? '']
  const sealed = await secrets.seal(db, owner, 'test:1', 'the secret')
  expect(await secrets.open(db, owner, 'test:1', sealed)).toBe('the secret')
  const altered = `${sealed.slice(0, -2)}${sealed.endsWith('AA') ? 'BB' : 'AA'}`
  for (const [clientId, context, token] of [
    [stranger, 'test:1', sealed],
    [owner, 'test:2', sealed],
    [owner, 'test:1', altered],
  ] as const) {
    const failure = await Promise.resolve(secrets.open(db, clientId, context, token)).catch((error) => error)
    expect(failure.problem).toBe('secret-unavailable')
  }
  expect(await secrets.open(db, owner, 'test:1', sealed)).toBe('the secret')
})
