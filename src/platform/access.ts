import { DomainError } from './errors'
import type { Principal, UserPrincipal } from './principal'

/** A platform admin acts for any client, everybody else for their own. Naming another one is 403, whether it exists or not. */
export function requireClient(principal: Principal, clientId: string): string {
  if (principal.kind === 'user' && principal.isAdmin) return clientId
  if (principal.clientId === clientId) return clientId
  throw new DomainError('forbidden', 'Access denied to access resources of this client')
}

export function requireAdmin(principal: Principal): UserPrincipal {
  if (principal.kind === 'user' && principal.isAdmin) return principal
  throw new DomainError('forbidden', 'Access denied. Restricted to administrators.')
}

/** The tenant that a query must be bound to: the caller's own, or none for an admin, who sees all. */
export function tenantOf(principal: Principal): string | null {
  if (principal.kind === 'user' && principal.isAdmin) return null
  if (principal.clientId === null) throw new DomainError('forbidden', 'User not associated with a client')
  return principal.clientId
}
