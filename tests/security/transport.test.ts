import { afterAll, beforeAll, expect, test } from 'bun:test'
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

/** The threat table «Transport, framing, parsing», in its order. */
const rows = [...framing, ...bodies, ...values, ...answers, ...slow].sort((a, b) => a.id.localeCompare(b.id))

for (const { id, guarantee, check, timeoutMs = 10_000 } of rows) test(`${id}: ${guarantee}`, () => check(app), timeoutMs)

test('no row is missing', () => {
  expect(rows.map(({ id }) => id)).toEqual(Array.from({ length: 17 }, (_, index) => `HTTP-${String(index + 1).padStart(2, '0')}`))
})
