import type { Config } from '~/config'
import { createPushWorker } from '~/features/a2a/worker'
import { createAuditUpkeep } from '~/features/audit/upkeep'
import { createAuditWorker } from '~/features/audit/worker'
import { createLinkTokens } from '~/features/auth/link-tokens'
import { createObjectRemover } from '~/features/files/worker'
import { createMailbox } from '~/features/mail/mailbox'
import type { Mailbox, MailSender } from '~/features/mail/sender'
import { createSendGrid } from '~/features/mail/sendgrid'
import { createSmtp } from '~/features/mail/smtp'
import { createMailWorker } from '~/features/mail/worker'
import { createWebhookWorker } from '~/features/webhooks/worker'
import { createIdempotencyUpkeep } from '~/platform/idempotency-upkeep'
import type { Log } from '~/platform/log'
import { createSweeper } from '~/platform/outbox/sweeper'
import { instanceName, onStop, signalReady } from './child'
import { createServices } from './services'
import { linkSeconds } from './services/people'
import { by, msUntil, stopTimes } from './stop-times'

const RECOVER_EVERY_MS = 500

/** The background: mails, audit entries, push notifications, the outbox's sweeper, and runs whose process is gone. */
export async function runWorker(config: Config, { log }: { log: Log }) {
  const services = createServices(config, { log, owner: instanceName(), recoverEveryMs: RECOVER_EVERY_MS })
  const { database, redis, linkKeys } = services.stores
  const sender = createSender(config)
  const { access, email } = config
  const mail = createMailWorker({
    database,
    redis,
    log,
    sender,
    from: email.provider === 'smtp' ? (email.smtp.from ?? email.from) : email.from,
    sendTimeoutMs: email.sendTimeoutMs,
    unknownHoldSeconds: email.unknownHoldSeconds,
    links: createLinkTokens({ keys: linkKeys, ttlSeconds: linkSeconds(access) }),
    invitations: services.invitationLinks,
    render: services.renderMail,
  })
  const audit = createAuditWorker({ database, redis, log })
  const webhooks = createWebhookWorker({ database, redis, log, secrets: services.stores.secrets, outbound: services.outbound })
  const upkeep = createAuditUpkeep({ database, log, retentionMonths: config.audit.retentionMonths })
  const sweeper = createSweeper({ database, redis, log })
  const keys = createIdempotencyUpkeep({ db: database.db, log })
  const { secrets, outbound, clock } = services
  const push = createPushWorker({ database, secrets, outbound, clock, log, version: config.about.version })

  const { objects } = services
  const remover = objects === undefined ? [] : [createObjectRemover({ db: services.db, objects, log })]

  const stopping = new AbortController()
  const working = Promise.all([mail, audit, webhooks, upkeep, sweeper, keys, push, ...remover].map((worker) => worker.run(stopping.signal)))
  onStop(async (reason) => {
    const times = stopTimes(config, reason)
    stopping.abort()
    await by(times.cut, Promise.all([working, services.runner.stop(msUntil(times.runsLeft))]))
    if (sender.name !== 'mailbox') sender.close()
    await by(times.closed, services.close())
  })
  signalReady()
  await working
}

function createSender({ email }: Config): MailSender | Mailbox {
  const timeoutMs = email.sendTimeoutMs
  if (email.provider === 'sendgrid') return createSendGrid({ apiKey: email.sendgridKey ?? '', baseUrl: email.sendgridBaseUrl })
  if (email.provider === 'smtp') return createSmtp({ ...email.smtp, host: email.smtp.host ?? '', timeoutMs })
  return createMailbox({ write: (line) => process.stdout.write(`${line}\n`) })
}
