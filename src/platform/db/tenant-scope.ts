import { AsyncLocalStorage } from 'node:async_hooks'
import { UUID_IN_ANY_CASE } from '../uuid'

/**
 * Whose rows the statements of this request or run may touch, where the database enforces it (DATABASE_RLS=enforce). A second line: the first is the
 * client in every query. It is not handed from function to function, so that it also holds in one that forgot.
 */
interface Scope {
  clientId: string | undefined
}

const scopes = new AsyncLocalStorage<Scope>()

/** For one request: nobody's as long as nobody has signed in. */
export const inRequestScope = <T>(work: () => T): T => scopes.run({ clientId: undefined }, work)

/** For a client's work outside of a request, such as a run that was taken over. A statement counts as begun when it is awaited: await it inside. */
export const inTenantScope = <T>(clientId: string, work: () => T): T => scopes.run({ clientId }, work)

/** Binds the rest of the request to the caller's client; null leaves a platform admin unbound. Without a scope it does nothing. */
export function bindTenant(clientId: string | null) {
  const scope = scopes.getStore()
  if (scope !== undefined) scope.clientId = clientId ?? undefined
}

/** What to say first in a transaction of the current tenant; undefined where there is none. */
export function tenantPrelude(): string | undefined {
  const clientId = scopes.getStore()?.clientId
  if (clientId === undefined) return undefined
  if (!UUID_IN_ANY_CASE.test(clientId)) throw new Error('a tenant is named by a UUID')
  return `set local role evo_tenant; select set_config('evo.client_id', '${clientId}', true)`
}
