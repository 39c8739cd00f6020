import { afterAll, beforeAll, expect, test } from 'bun:test'
import { silentLog } from '~/platform/log'
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
