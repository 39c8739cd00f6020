import { Elysia, t } from 'elysia'
import { problemsOf } from '~/platform/http/docs/responses'
import { Uuid } from '~/platform/http/schema'
import type { OpenSession } from '~/platform/http/session'
import { ErasureReceipt } from './schema'
import type { ErasureService } from './service'

export const erasureRoutes = ({ erasures, session }: { erasures: ErasureService; session: OpenSession }) =>
  new Elysia({ prefix: '/contacts', tags: ['contacts'] })
    .use(session)
    .post('/:contact_id/erase', ({ principal, params }) => erasures.erase(principal, params.contact_id), {
      params: t.Object({ contact_id: Uuid }),
      response: { 200: ErasureReceipt },
      detail: {
        summary: 'Erase a contact and all that it said, everywhere',
        description:
          'Ends its runs and removes its sessions with their history, runs, files and logs; what bills and the audit log keep tells of nobody. What tools, agents elsewhere and webhooks have been told already is out of reach. Asked again, it answers the same receipt.',
        responses: problemsOf(409),
      },
    })
