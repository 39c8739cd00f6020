import sharedClient from '@sendgrid/client'
import sharedService from '@sendgrid/mail'
import { isConnectFailure, type Mail, type MailSender, SendFailure, untilAborted } from './sender'

export interface SendGridSettings {
  apiKey: string
  /** Without a slash at the end. */
  baseUrl: string
  timeoutMs: number
}

/** SendGrid's v3 API. Its events find the delivery by the custom argument `delivery_id`. */
export function createSendGrid({ apiKey, baseUrl, timeoutMs }: SendGridSettings): MailSender {
  const client = fresh(sharedClient)
  client.setApiKey(apiKey)
  client.setDefaultRequest('baseUrl', `${baseUrl}/`)
  // Options of axios, to which the client passes them on, though its typings do not say so. A redirected POST would hand our key to whoever it leads to.
  client.setDefaultRequest({ timeout: timeoutMs, maxRedirects: 0 } as never)
  const service = fresh(sharedService)
  service.setClient(client)

  return {
    name: 'sendgrid',
    async send(mail, signal) {
      try {
        const [response] = await untilAborted(service.send(message(mail)), signal)
        const messageId: unknown = response.headers['x-message-id']
        return typeof messageId === 'string' ? { providerMessageId: messageId } : {}
      } catch (error) {
        throw error instanceof SendFailure ? error : classify(error)
      }
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

function classify(error: unknown): SendFailure {
  const response = responseOf(error)
  if (response === undefined) {
    const outcome = isConnectFailure(error) ? 'passing' : 'unknown'
    return new SendFailure(outcome, `no answer from SendGrid: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
  const { status, retryAfterMs, said } = response
  return new SendFailure(isPermanent(status) ? 'permanent' : 'passing', `SendGrid answered ${status}${said}`, {
    cause: error,
    retryAfterMs,
  })
}

/** 401 and 403 are about our key, not about this mail: it waits until somebody has set the key right. */
const isPermanent = (status: number) => status >= 400 && status < 500 && ![401, 403, 408, 429].includes(status)

/** What SendGrid's library makes of an answer of 400 and above (`ResponseError`), or axios of another that is no success. */
function responseOf(error: unknown) {
  if (!(error instanceof Error && 'response' in error)) return undefined
  const { response } = error as Error & { response?: { status?: unknown; headers?: Record<string, unknown>; body?: unknown } }
  const status = Number('code' in error && typeof error.code === 'number' ? error.code : response?.status)
  if (response === undefined || !Number.isInteger(status)) return undefined
  return { status, retryAfterMs: retryAfterMs(response.headers?.['retry-after']), said: complaint(response.body) }
}

/** RFC 9110 section 10.2.3: seconds or a date. */
export function retryAfterMs(header: unknown): number | undefined {
  if (typeof header !== 'string' || header.trim() === '') return undefined
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - Date.now()
  return Number.isFinite(ms) && ms > 0 ? ms : undefined
}

const MAX_COMPLAINT = 300

function complaint(body: unknown): string {
  if (typeof body !== 'object' || body === null || !('errors' in body) || !Array.isArray(body.errors)) return ''
  const messages = body.errors.map((item: unknown) =>
    typeof item === 'object' && item !== null && 'message' in item ? String(item.message) : '',
  )
  return `: ${messages.filter(Boolean).join('; ').slice(0, MAX_COMPLAINT)}`
}
