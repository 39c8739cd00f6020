import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { createLinkTokens } from '~/features/auth/link-tokens'
import { deriveToken, findToken, hashToken, issueToken } from '~/features/auth/one-time-token'
import { createInvitationLinks } from '~/features/members/invitation-links'
import { silentLog } from '~/platform/log'
import { createSecrets, type DerivedKeys } from '~/platform/secrets'
import { createHttp } from '~/processes/api'
import { createServices } from '~/processes/services'
import { PASSWORD, startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp()
})
afterAll(() => app.close())

const NEWER = 'nZk3v9q0Yx7Lr2Wn8Tb5Hc1Md6Pf4Gs0Ja'
const kidOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid

/** A replica with these signing secrets, on the same stores. */
async function withReplica(
  secrets: string[],
  use: (call: (path: string, more: RequestInit) => Promise<Response>) => Promise<void>,
  encryptionKeys = app.config.access.encryptionKeys,
) {
  const [jwtSecret, ...jwtPreviousSecrets] = secrets
  const config = { ...app.config, access: { ...app.config.access, jwtSecret, jwtPreviousSecrets, encryptionKeys } }
  const services = createServices(config, { log: silentLog, owner: `replica-${crypto.randomUUID().slice(0, 8)}`, recoverEveryMs: 60_000 })
  await services.stores.redis.ready(5000)
  const surface = createHttp(config, services, silentLog)
  surface.listen({ port: 0, hostname: '127.0.0.1' })
  try {
    await use((path, more) => fetch(`http://127.0.0.1:${surface.server?.port}/api/v1${path}`, { method: 'POST', ...more }))
  } finally {
    await services.runner.stop(0)
    await surface.server?.stop(true)
    await services.close()
  }
}

test('JWT-12: the signing secret is changed step by step, and nobody has to sign in again', async () => {
  const older = app.config.access.jwtSecret ?? ''
  const { body: before } = await app.stranger('POST', '/api/v1/auth/login', { email: app.ada.email, password: PASSWORD })
  let current = before
  const tokens: string[] = [before.access_token]
  const accepted = async (secrets: string[]) => {
    const found: boolean[] = []
    await withReplica(secrets, async (call) => {
      for (const token of tokens) found.push((await call('/auth/me', { headers: { authorization: `Bearer ${token}` } })).status === 200)
    })
    return found
  }
  const refreshOn = (secrets: string[]) =>
    withReplica(secrets, async (call) => {
      const body = JSON.stringify({ refresh_token: current.refresh_token })
      const response = await call('/auth/refresh', { headers: { 'content-type': 'application/json' }, body })
      expect(response.status).toBe(200)
      current = await response.json()
      tokens.push(current.access_token)
    })

  // First every replica learns to verify with the new secret, then they begin to sign with it, one by one.
  await refreshOn([older, NEWER])
  await refreshOn([NEWER, older])
  expect(tokens.map(kidOf)).toEqual([kidOf(tokens[0] ?? ''), kidOf(tokens[0] ?? ''), expect.not.stringMatching(kidOf(tokens[0] ?? ''))])
  expect(await accepted([older, NEWER])).toEqual([true, true, true])
  expect(await accepted([NEWER, older])).toEqual([true, true, true])
  // At last the old one is retired: what it signed is refused, and the refresh token gives another.
  expect(await accepted([NEWER])).toEqual([false, false, true])
  await refreshOn([NEWER])
  expect(await accepted([NEWER])).toEqual([false, false, true, true])
})

test('a refresh token outlives the key-encryption keys that were there when it was made', async () => {
  const { body: before } = await app.stranger('POST', '/api/v1/auth/login', { email: app.ada.email, password: PASSWORD })
  const statuses: number[] = []
  await withReplica(
    [app.config.access.jwtSecret ?? ''],
    async (call) => {
      let token = before.refresh_token
      for (let generation = 0; generation < 3; generation++) {
        const response = await call('/auth/refresh', {
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ refresh_token: token }),
        })
        statuses.push(response.status)
        token = ((await response.json()) as { refresh_token: string }).refresh_token
      }
    },
    `another-${NEWER}`,
  )
  expect(statuses).toEqual([200, 200, 200])
})

const ENCRYPTION_NEWER = `encrypts-${NEWER}`

test('an encryption key is changed and retired, and a lockout stays one', async () => {
  const older = app.config.access.encryptionKeys ?? ''
  const signing = [app.config.access.jwtSecret ?? '']
  const body = JSON.stringify({ email: app.bob.email, password: 'not the password' })
  const guessOn = async (keys: string) => {
    let status = 0
    await withReplica(
      signing,
      async (call) => {
        status = (await call('/auth/login', { headers: { 'content-type': 'application/json' }, body })).status
      },
      keys,
    )
    return status
  }
  for (let guess = 1; guess < app.config.access.maxLoginAttempts; guess++) expect(await guessOn(older)).toBe(401)
  // Counted under either name for as long as some replicas begin with the one and some with the other.
  expect([await guessOn(`${ENCRYPTION_NEWER},${older}`), await guessOn(`${older},${ENCRYPTION_NEWER}`)]).toEqual([401, 429])
  expect(await guessOn(`${ENCRYPTION_NEWER},${older}`)).toBe(429)
  expect(await guessOn(ENCRYPTION_NEWER)).toBe(429)
  expect(await app.services.db.execute(sql`select distinct subject from attempt_counters where count >= 5`)).toHaveLength(1)
})

test('links that were not mailed yet outlive the key that they were made with', async () => {
  const older = app.config.access.encryptionKeys ?? ''
  const keysOf = (...keyEncryptionKeys: string[]) => createSecrets({ keyEncryptionKeys }).derive('one-time-tokens')
  const { db } = app.services
  const invite = async (email: string) =>
    (await app.ada.call('POST', `/api/v1/clients/${app.ada.clientId}/invitations`, { email, role: 'viewer' })).body.id as string
  const invitationsWith = (keys: DerivedKeys) =>
    createInvitationLinks({
      tokens: { derive: (id) => deriveToken(keys[0], id), find: (id, hash) => findToken(keys, id, hash), hash: hashToken },
    })
  const accept = (token: string) =>
    app.stranger('POST', '/api/v1/auth/accept-invitation', { token, name: 'Sam', password: 'four unusual words here' })
  const mailed = async (keys: DerivedKeys, id: string) => {
    const link = await invitationsWith(keys).forMail(db, id)
    if ('skip' in link) throw new Error(link.skip)
    return link.token
  }

  const [kept, renewed] = [await invite('kept@example.com'), await invite('renewed@example.com')]
  expect(await mailed(keysOf(ENCRYPTION_NEWER, older), kept)).toBe(deriveToken(keysOf(older)[0], kept))
  const token = await mailed(keysOf(ENCRYPTION_NEWER), renewed)
  expect(token).toBe(deriveToken(keysOf(ENCRYPTION_NEWER)[0], renewed))
  for (const opened of [token, deriveToken(keysOf(older)[0], kept)]) expect((await accept(opened)).status).toBe(201)

  // A mail that went out before is found by its hash, whatever keys there are.
  const reset = { userId: app.ada.userId, purpose: 'reset-password' as const }
  const { id: tokenId } = await issueToken(db, { key: keysOf(older)[0], ttlSeconds: 60, ...reset })
  const links = createLinkTokens({
    keys: keysOf(ENCRYPTION_NEWER, older),
    ttlSeconds: { 'verify-email': 60, 'reset-password': 60, 'change-email': 60 },
  })
  expect(await links.forMail(db, { tokenId, ...reset })).toMatchObject({ id: tokenId, token: deriveToken(keysOf(older)[0], tokenId) })
})
