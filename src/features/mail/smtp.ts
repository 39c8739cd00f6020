import { createTransport } from 'nodemailer'
import { isConnectFailure, type MailSender, SendFailure, untilAborted } from './sender'

export interface SmtpSettings {
  host: string
  port: number
  user?: string | undefined
  password?: string | undefined
  /** Demands STARTTLS. */
  useTls: boolean
  /** TLS from the first byte. */
  useSsl: boolean
  timeoutMs: number
}

export function createSmtp({ host, port, user, password, useTls, useSsl, timeoutMs }: SmtpSettings): MailSender {
  const transport = createTransport({
    host,
    port,
    secure: useSsl,
    requireTLS: useTls && !useSsl,
    ignoreTLS: !useTls && !useSsl,
    ...(user === undefined ? {} : { auth: { user, pass: password ?? '' } }),
    pool: true,
    maxConnections: 4,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    // Our mails are text: nothing in one may make nodemailer read a file or fetch an address.
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  return {
    name: 'smtp',
    async send({ id, to, from, subject, text, html }, signal) {
      try {
        const sent = await untilAborted(
          transport.sendMail({
            // As an object: a string would be parsed as a list of addresses.
            to: { name: '', address: to },
            from,
            subject,
            text,
            html,
            messageId: `<${id}@${from.split('@')[1]?.replace(/[^\w.-]/g, '') || 'localhost'}>`,
            headers: { 'X-Evo-Delivery-Id': id },
          }),
          signal,
        )
        return { providerMessageId: sent.messageId }
      } catch (error) {
        throw error instanceof SendFailure ? error : classify(error)
      }
    },
    close: () => transport.close(),
  }
}

interface SmtpError extends Error {
  code?: string
  command?: string
  responseCode?: number
  timeoutType?: string
}

/** Before the message is on its way: what fails here has sent nothing, and is about the server rather than the mail. */
const PREAMBLE = /^(CONN|EHLO|HELO|LHLO|STARTTLS|AUTH)/

function classify(error: unknown): SendFailure {
  const fault = error as SmtpError
  const said = `the mail server failed: ${fault.message}`
  if (fault.responseCode !== undefined) {
    const isAboutMail = !PREAMBLE.test(fault.command ?? '')
    return new SendFailure(isAboutMail && fault.responseCode >= 500 ? 'permanent' : 'passing', said, { cause: error })
  }
  // nodemailer also says CONN where an established connection broke, so the command alone proves nothing; its time-outs say of what they are.
  const timedOutEarly = fault.timeoutType !== undefined && fault.timeoutType !== 'SOCKET_TIMEOUT'
  const hadNoSession = isConnectFailure(error) || fault.code === 'EAUTH' || timedOutEarly
  if (hadNoSession) return new SendFailure('passing', said, { cause: error })
  return new SendFailure(fault.command === 'API' ? 'permanent' : 'unknown', said, { cause: error })
}
