import { Elysia } from 'elysia'
import { problemsOf } from '~/platform/http/docs/responses'
import type { OpenSession } from '~/platform/http/session'
import { Validation, ValidationRequest } from './schema'
import type { AgentValidation } from './service'

export const agentValidationRoutes = ({ validation, session }: { validation: AgentValidation; session: OpenSession }) =>
  new Elysia({ prefix: '/agents', tags: ['agents'] })
    .use(session)
    .post('/validate', ({ principal, body }) => validation.validate(principal, body), {
      body: ValidationRequest,
      response: { 200: Validation },
      detail: {
        summary: 'Try a definition without storing it: what would be refused, and what would not work',
        description:
          'With the rights and the rules of creation, or of a change where an `id` is given. All problems at once, as far as one does not hide another. A remote agent is asked for its card, as it would be then.',
        // Of the agent that `id` names.
        responses: problemsOf(404),
      },
    })
