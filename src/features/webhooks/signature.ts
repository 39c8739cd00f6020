import { createHmac, randomBytes } from 'node:crypto'

const PREFIX = 'whsec_'

/** As standardwebhooks.com has it: 24 to 64 random bytes in base64, behind a prefix by which secrets are found where they should not be. */
export const createSecret = () => `${PREFIX}${randomBytes(32).toString('base64')}`

/** The headers of one attempt. The id is the same at each, so that a receiver can tell a repetition; the timestamp is the attempt's. */
export function signedHeaders(
  secret: string,
  { id, timestamp, body }: { id: string; timestamp: number; body: string },
): Record<string, string> {
  const key = Buffer.from(secret.slice(PREFIX.length), 'base64')
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')
  return { 'webhook-id': id, 'webhook-timestamp': String(timestamp), 'webhook-signature': `v1,${signature}` }
}
