import { DomainError } from './errors'
import { type MemberRole, type Principal, type Role, SCOPES, type Scope } from './principal'

/** What the rights are about. Folders go with `agents`, provider keys are `keys`. */
export type TenantKind = keyof typeof LEAST_ROLE
export type Action = 'read' | 'write'

export type Resource =
  /** Something that a client has; of one agent, where it belongs to one. */
  | { kind: TenantKind; clientId: string; agentId?: string | null }
  /** A person's own account: password, address, sign-ins, second factor. */
  | { kind: 'account'; userId: string; settingUp?: 'second-factor' }
  /** The MCP servers and tools that all clients share. */
  | { kind: 'catalogue' }
  /** What is no client's: the list of clients, admins, the audit log, impersonation. */
  | { kind: 'platform' }

/** How far a right extends: what a query must be bound to. Null: no bound. */
export interface Reach {
  clientId: string | null
  agentId: string | null
}

/** The role that a person needs in their client. A platform admin has every right in every client. */
const LEAST_ROLE = {
  agents: { read: 'viewer', write: 'member' },
  keys: { read: 'viewer', write: 'member' },
  sessions: { read: 'viewer', write: 'member' },
  runs: { read: 'viewer', write: 'member' },
  chat: { read: 'member', write: 'member' },
  usage: { read: 'viewer', write: 'owner' },
  contacts: { read: 'viewer', write: 'member' },
  erasures: { read: 'owner', write: 'owner' },
  client: { read: 'viewer', write: 'owner' },
  members: { read: 'viewer', write: 'owner' },
  invitations: { read: 'owner', write: 'owner' },
  'machine-keys': { read: 'owner', write: 'owner' },
  audit: { read: 'owner', write: 'owner' },
  webhooks: { read: 'owner', write: 'owner' },
} as const satisfies Record<string, Record<Action, MemberRole>>

const RANK: Record<Role, number> = { viewer: 1, member: 2, owner: 3, admin: 4 }
/** What belongs to one agent, so that a key for one agent can reach it. */
const OF_AN_AGENT: ReadonlySet<TenantKind> = new Set(['agents', 'sessions', 'runs', 'chat'])
/** Whether a key for one agent can make use of it. */
export const reachesOneAgent = (scope: Scope): boolean => [...OF_AN_AGENT].some((kind) => scope === kind || scope.startsWith(`${kind}:`))
/** Nothing else can be given to a machine key, however its row is spelt. */
const GRANTABLE: ReadonlySet<string> = new Set(SCOPES)
/** What the holder of an agent's key may do: talk to it, and follow or end what came of it. */
const WITH_AGENT_KEY: ReadonlySet<TenantKind> = new Set(['chat', 'runs'])

/** The one place that decides. Whether the resource exists is another question: what a caller may not reach is answered like what is absent. */
export function can(principal: Principal, action: Action, resource: Resource): boolean {
  if (mustEnrolFirst(principal) && !isOpenBefore(action, resource)) return false
  if (resource.kind === 'platform') return principal.kind === 'user' && principal.role === 'admin'
  if (resource.kind === 'catalogue') return principal.kind === 'user' && (action === 'read' || principal.role === 'admin')
  if (resource.kind === 'account')
    return principal.kind === 'user' && principal.userId === resource.userId && (action === 'read' || principal.actor === undefined)
  const reach = reachOf(principal, action, resource.kind)
  return (
    reach !== undefined &&
    (reach.clientId === null || reach.clientId === resource.clientId) &&
    (reach.agentId === null || reach.agentId === resource.agentId)
  )
}

/** For what the request names: a client, an agent of it, the platform. @throws DomainError `forbidden`, whether the thing exists or not. */
export function authorize(principal: Principal, action: Action, resource: Resource): void {
  if (can(principal, action, resource)) return
  if (mustEnrolFirst(principal)) throw secondFactorRequired()
  if (resource.kind === 'platform' || resource.kind === 'catalogue')
    throw new DomainError('forbidden', 'Access denied. Restricted to administrators.')
  if (resource.kind === 'account') throw new DomainError('forbidden', 'Only the owner of the account may do this.')
  if (principal.clientId !== resource.clientId && principal.clientId !== null)
    throw new DomainError('forbidden', 'Access denied to access resources of this client')
  throw refused(principal, action, resource.kind)
}

/** For what is yet to be looked up by its id: the query is bound to the answer. @throws DomainError `forbidden` if it could reach nothing. */
export function authorizeReach(principal: Principal, action: Action, kind: TenantKind): Reach {
  const reach = reachOf(principal, action, kind)
  if (reach === undefined) throw mustEnrolFirst(principal) ? secondFactorRequired() : refused(principal, action, kind)
  return reach
}

function reachOf(principal: Principal, action: Action, kind: TenantKind): Reach | undefined {
  switch (principal.kind) {
    case 'user':
      if (mustEnrolFirst(principal)) return undefined
      if (wouldOutliveIt(principal, action, kind)) return undefined
      if (principal.role === 'admin') return { clientId: null, agentId: null }
      return RANK[principal.role] >= RANK[LEAST_ROLE[kind][action]] ? { clientId: principal.clientId, agentId: null } : undefined
    case 'agent-key':
      return WITH_AGENT_KEY.has(kind) ? { clientId: principal.clientId, agentId: principal.agentId } : undefined
    case 'machine-key':
      if (!GRANTABLE.has(scopeOf(action, kind)) || !principal.scopes.includes(scopeOf(action, kind))) return undefined
      if (principal.agentId !== null && !OF_AN_AGENT.has(kind)) return undefined
      return { clientId: principal.clientId, agentId: principal.agentId }
  }
}

/** Whose organisation or platform asks for a second factor, and who has none yet: may look at the own account, and set it up. */
const mustEnrolFirst = (principal: Principal) => principal.kind === 'user' && principal.mustEnrol === true
const isOpenBefore = (action: Action, resource: Resource) =>
  resource.kind === 'account' && (action === 'read' || resource.settingUp === 'second-factor')
const secondFactorRequired = () => new DomainError('second-factor-required', 'Set up a second factor first: POST /api/v1/auth/mfa/totp')

/** An admin acts as somebody else for half an hour: a key made meanwhile would work for longer. */
const wouldOutliveIt = (principal: Principal, action: Action, kind: TenantKind) =>
  kind === 'machine-keys' && action === 'write' && principal.kind === 'user' && principal.actor !== undefined

/** The scope that a machine key needs; there is none for people, clients and keys, so those are out of its reach. */
const scopeOf = (action: Action, kind: TenantKind) => (kind === 'chat' ? 'chat' : `${kind}:${action}`)

function refused(principal: Principal, action: Action, kind: TenantKind): DomainError {
  if (principal.kind === 'machine-key') return new DomainError('forbidden', `This key does not allow ${scopeOf(action, kind)} here.`)
  if (principal.kind === 'agent-key') return new DomainError('forbidden', 'The key of an agent opens that agent alone.')
  if (wouldOutliveIt(principal, action, kind))
    return new DomainError('forbidden', 'Keys are not made or changed in the name of somebody else.')
  return new DomainError('forbidden', `This needs the role ${LEAST_ROLE[kind][action]} in the client.`)
}
