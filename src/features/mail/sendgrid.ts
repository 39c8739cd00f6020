import sharedClient from '@sendgrid/client'
import sharedService from '@sendgrid/mail'
import { redactText } from '~/platform/log'
import { retryAfterMs } from '~/platform/retry-after'
import { isConnectFailure, type Mail, type MailSender, SendFailure } from './sender'

export interface SendGridSettings {
  apiKey: string
  /** Without a slash at the end. */
  baseUrl: string
}

/** SendGrid's v3 API. Its events find the delivery by the custom argument `delivery_id`. */
export function createSendGrid({ apiKey, baseUrl }: SendGridSettings): MailSender {
  const authorized = fresh(sharedClient)
  authorized.setApiKey(apiKey)

  /**
   * The library's client, but calling with `fetch`: axios, which it comes with, takes Bun four times the processor time.
   * One for each mail, since the library hands no signal on.
   */
  function clientFor(signal: AbortSignal): typeof sharedClient {
    const client: typeof sharedClient = Object.create(authorized)
    client.request = async ({ url = '', method = 'POST', headers, body }) => {
      const response = await fetch(`${baseUrl}${url}`, {
        method,
        headers: authorized.createHeaders({ ...headers }),
        body: JSON.stringify(body),
        signal,
        // A redirected POST would hand our key to whoever it leads to.
        redirect: 'manual',
      }).catch((error) => {
        throw unanswered(error, signal)
      })
      if (!response.ok) throw await refused(response)
      await response.body?.cancel()
      const taken = { statusCode: response.status, headers: { 'x-message-id': response.headers.get('x-message-id') }, body: {} }
      return [taken, {}]
    }
    return client
  }

  return {
    name: 'sendgrid',
    async send(mail, signal) {
      const service = fresh(sharedService)
      service.setClient(clientFor(signal))
      const [{ headers }] = await service.send(message(mail))
      const messageId: unknown = headers['x-message-id']
      return typeof messageId === 'string' ? { providerMessageId: messageId } : {}
    },
    close() {},
  }
}

/** The packages export one shared instance each, and their typings hide the classes. */
const fresh = <T extends object>(shared: T): T => new (shared.constructor as new () => T)()

const message = ({ id, to, from, subject, text, html }: Mail): Parameters<typeof sharedService.send>[0] => ({
  to: { email: to },
  from: { email: from },
  subject,
  content: [
    { type: 'text/plain', value: text },
    { type: 'text/html', value: html },
  ],
  customArgs: { delivery_id: id },
  headers: { 'X-Evo-Delivery-Id': id },
  // A tracked link leads through SendGrid, which would thereby hold one-time tokens.
  trackingSettings: { clickTracking: { enable: false, enableText: false } },
})

function unanswered(error: unknown, signal: AbortSignal): SendFailure {
  if (signal.aborted) return new SendFailure('unknown', 'the provider did not answer in time', { cause: error })
  const outcome = isConnectFailure(error) ? 'passing' : 'unknown'
  return new SendFailure(outcome, `no answer from SendGrid: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
}

async function refused(response: Response): Promise<SendFailure> {
  const { status, headers } = response
  return new SendFailure(isPermanent(status) ? 'permanent' : 'passing', `SendGrid answered ${status}${await complaint(response)}`, {
    retryAfterMs: retryAfterMs(headers.get('retry-after')),
  })
}

/** 401 and 403 are about our key, not about this mail: it waits until somebody has set the key right. */
const isPermanent = (status: number) => status >= 400 && status < 500 && ![401, 403, 408, 429].includes(status)

const MAX_COMPLAINT = 300
/** More of an answer is not read. */
const MAX_ANSWER_BYTES = 65_536

/** What SendGrid says about its refusal. Nothing where that cannot be read: the refusal stands. */
async function complaint(response: Response): Promise<string> {
  const answer = await firstOf(response).catch(() => '')
  const messages = errorsIn(answer).map((item) =>
    typeof item === 'object' && item !== null && 'message' in item ? String(item.message) : '',
  )
  const said = messages.filter(Boolean).join('; ')
  return said === '' ? '' : `: ${redactText(said).slice(0, MAX_COMPLAINT)}`
}

async function firstOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body ?? []) {
    chunks.push(chunk)
    bytes += chunk.byteLength
    if (bytes > MAX_ANSWER_BYTES) break
  }
  return Buffer.concat(chunks).toString()
}

function errorsIn(answer: string): unknown[] {
  try {
    const body: unknown = JSON.parse(answer)
    return typeof body === 'object' && body !== null && 'errors' in body && Array.isArray(body.errors) ? body.errors : []
  } catch {
    return [] // not SendGrid's own answer, but a proxy's
  }
}
