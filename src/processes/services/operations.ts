import { reopenDelivery } from '~/features/mail/queries/attempts'
import { createQueueService } from '~/features/queues/service'
import { reopenWebhookDelivery } from '~/features/webhooks/queries/attempts'
import { createWebhookService } from '~/features/webhooks/service'
import { createMetrics } from '~/platform/metrics'
import type { Machinery } from './machinery'

/** What those who run the server look at. `owner` is this process. */
export function createOperations({ db, redis, write, log, clock, secrets, outbound }: Machinery, { owner }: { owner: string }) {
  const queues = createQueueService({
    db,
    redis,
    write,
    reopen: { email: reopenDelivery, 'email-bulk': reopenDelivery, webhook: reopenWebhookDelivery },
  })
  const metrics = createMetrics({ redis, log, clock, process: owner, queues: queues.figures })
  const stopping = new AbortController()
  void metrics.run(stopping.signal)
  return { queues, metrics, webhooks: createWebhookService({ db, write, secrets, outbound }), stopMetrics: () => stopping.abort() }
}
