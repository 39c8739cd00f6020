import { Elysia } from 'elysia'
import { DomainError } from '../errors'
import type { Log } from '../log'
import type { Principal } from '../principal'
import type { Write } from '../unit-of-work'

interface Known {
  /** Set by a session's derive; absent where the route asks for no caller, or has not come that far. */
  principal?: Principal
  params?: Record<string, string>
}

/**
 * What no service audits, since nothing changes: what a known caller was refused, and what an admin looked at as somebody else.
 * Refused is 403, and 404, which may be another client's object: both are written alike, so that neither answer nor time tells them apart.
 * Stands before `problems`, which writes the answer to a refusal.
 */
export const trail = ({ write, log }: { write: Write; log: Log }) => {
  const record = (
    { idempotency: _, ...caller }: Principal,
    action: string,
    { route, params }: { route: string } & Known,
    details: object,
  ) =>
    write(caller as Principal, async ({ audit }) => {
      audit({ action, ...resourceOf(route, params), details: { ...details, route } })
    })

  return (
    new Elysia({ name: 'trail' })
      .onError({ as: 'global' }, async ({ error, request, route, ...context }) => {
        const { principal, params } = context as Known
        if (principal === undefined || !(error instanceof DomainError)) return
        if (error.problem !== 'forbidden' && error.problem !== 'not-found') return
        const details = { method: request.method, problem: error.problem }
        try {
          await record(principal, 'denied', { route, ...(params && { params }) }, details)
        } catch (cause) {
          // The refusal stands.
          log.error('a denial was not audited', { trace_id: principal.origin.traceId, route, ...details, error: cause })
        }
      })
      // Without its entry such a look does not happen: a failure here is the request's.
      // No async function, since it stands in every request's way; Elysia waits for what it returns because of the call in its `return`.
      .onAfterHandle({ as: 'global' }, (context) => {
        const { principal, params, request, route } = context as typeof context & Known
        if (principal?.kind !== 'user' || principal.actor === undefined) return
        if (request.method !== 'GET' && request.method !== 'HEAD') return
        return record(principal, 'view', { route, ...(params && { params }) }, { method: request.method })
      })
  )
}

/** `/api/v1/agents/:agent_id/share` is about an agent, `/api/v1/clients` about clients. */
function resourceOf(route: string, params: Record<string, string> = {}): { resourceType: string; resourceId: string | null } {
  const parts = route.split('/').filter((part) => part !== '')
  const name = parts.findLast((part) => part.startsWith(':'))?.slice(1)
  if (name === undefined) return { resourceType: parts.at(-1) ?? '', resourceId: null }
  return { resourceType: name.replace(/_id$/, ''), resourceId: params[name]?.slice(0, 200).toWellFormed() ?? null }
}
