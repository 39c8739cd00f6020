import { redactText } from '~/platform/log'

/** A mail as a provider is given it. */
export interface Mail {
  /** The delivery's id: the same at every attempt, so that a provider or a person can tell a repetition. */
  id: string
  to: string
  from: string
  subject: string
  text: string
  html: string
}

export interface MailSender {
  name: 'sendgrid' | 'smtp'
  /**
   * Settles when the provider has answered, or with an unknown outcome once `signal` aborts.
   * @throws SendFailure
   */
  send(mail: Mail, signal: AbortSignal): Promise<{ providerMessageId?: string }>
  close(): void
}

/** No provider: mails are kept in their delivery rows, in the transaction that ends their outbox row, hence exactly once. Development only. */
export interface Mailbox {
  name: 'mailbox'
  /** Called after COMMIT. */
  announce(mail: { to: string; subject: string; link: string }): void
}

/**
 * - `permanent`: this mail will never be taken.
 * - `passing`: it was certainly not taken, but may be later.
 * - `unknown`: it was handed over, and the answer got lost.
 */
export type SendOutcome = 'permanent' | 'passing' | 'unknown'

export class SendFailure extends Error {
  override name = 'SendFailure'

  /** `message` is kept with the delivery and shown to admins, without what a provider repeated of our key or of a link in the mail. */
  constructor(
    readonly outcome: SendOutcome,
    message: string,
    readonly options: { cause?: unknown; retryAfterMs?: number | undefined } = {},
  ) {
    super(redactText(message), { cause: options.cause })
  }
}

/** Error codes of Node and Bun for a connection that never came about: the provider has seen nothing. */
const NOTHING_SENT =
  /^(ECONNREFUSED|ConnectionRefused|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EDNS|ETLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|ERR_TLS)/

export function isConnectFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, syscall } = error as NodeJS.ErrnoException
  return NOTHING_SENT.test(String(code)) || syscall === 'connect' || syscall === 'getaddrinfo' || isConnectFailure(error.cause)
}

/** Settles with `work`, or as unknown when `signal` aborts first: libraries that take no signal would leave us waiting. */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(new SendFailure('unknown', 'the provider did not answer in time', { cause: signal.reason }))
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
