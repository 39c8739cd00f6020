import { Elysia } from 'elysia'
import { DomainError } from '../errors'
import type { Log } from '../log'
import type { Principal } from '../principal'
import type { Write } from '../unit-of-work'

/**
 * Audits what a known caller was refused: 403, and 404, which may be another client's. The two are written alike, so that neither answer nor time tells them apart.
 * Stands before `problems`, which writes the answer. An entry that cannot be written is logged and changes nothing: the refusal stands.
 */
export const denials = ({ write, log }: { write: Write; log: Log }) =>
  new Elysia({ name: 'denials' }).onError({ as: 'global' }, async (context) => {
    const { error, request, route } = context
    // Set by the derive of a session; absent where the route asks for no caller, or has not come that far.
    const { principal, params } = context as unknown as { principal?: Principal; params?: Record<string, string> }
    if (principal === undefined || !(error instanceof DomainError)) return
    if (error.problem !== 'forbidden' && error.problem !== 'not-found') return
    const { idempotency: _, ...caller } = principal
    const details = { method: request.method, route, problem: error.problem }
    try {
      await write(caller as Principal, async ({ audit }) => audit({ action: 'denied', ...resourceOf(route, params), details }))
    } catch (cause) {
      log.error('a denial was not audited', { trace_id: principal.origin.traceId, ...details, error: cause })
    }
  })

/** `/api/v1/agents/:agent_id/share` is about an agent, `/api/v1/clients` about clients. */
function resourceOf(route: string, params: Record<string, string> = {}): { resourceType: string; resourceId: string | null } {
  const parts = route.split('/').filter((part) => part !== '')
  const name = parts.findLast((part) => part.startsWith(':'))?.slice(1)
  if (name === undefined) return { resourceType: parts.at(-1) ?? '', resourceId: null }
  return { resourceType: name.replace(/_id$/, ''), resourceId: params[name]?.slice(0, 200) ?? null }
}
