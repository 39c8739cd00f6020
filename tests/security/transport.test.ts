import { afterAll, beforeAll, test } from 'bun:test'
import { startApp, type TestApp } from '../support/start-app'
import { answers } from './transport/answers'
import { bodies } from './transport/bodies'
import { framing } from './transport/framing'
import { slow } from './transport/slow'
import { values } from './transport/values'

let app: TestApp
beforeAll(async () => {
  app = await startApp({ RATE_SIGN_IN_PER_MINUTE: '100000' })
})
afterAll(() => app.close())

for (const { id, guarantee, check, timeoutMs = 10_000 } of [...framing, ...bodies, ...values, ...answers, ...slow])
  test(`${id}: ${guarantee}`, () => check(app), timeoutMs)
