import { expect } from 'bun:test'
import { eq } from 'drizzle-orm'
import { deliveries } from '~/features/mail/table'
import { PASSWORD, type TestApp } from './start-app'
import { until } from './until'

/** Somebody new signs up, and is to be sent a mail. Returns the address. */
export async function signUpAnew(app: TestApp): Promise<string> {
  const email = `${crypto.randomUUID()}@new.example`
  const answer = await app.stranger('POST', '/api/v1/auth/register', { email, password: PASSWORD, name: 'New Ltd' })
  expect(answer.status).toBe(201)
  return email
}

export const untilMailed = (app: TestApp, email: string, withinMs: number) =>
  until(async () => {
    const [mail] = await app.services.db.select().from(deliveries).where(eq(deliveries.recipient, email))
    return mail?.state === 'sent'
  }, withinMs)
