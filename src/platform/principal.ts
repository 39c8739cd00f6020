/** Where a request came from, as audit entries and rate limits see it. */
export interface Origin {
  /** 32 hex digits, shown to the client as `trace_id`. */
  traceId: string
  /** The client's address: the socket's, or the hop that a trusted proxy added. */
  address: string
  userAgent: string | null
}

/** The `Idempotency-Key` of a POST, and what the request was, so that a reuse for something else is noticed. */
export interface Idempotency {
  key: string
  /** Method and route pattern. */
  route: string
  /** SHA-256 of the body, hex. */
  fingerprint: string
}

interface Caller {
  origin: Origin
  idempotency?: Idempotency
}

/** What a person may do in their client. */
export const MEMBER_ROLES = ['owner', 'member', 'viewer'] as const
export type MemberRole = (typeof MEMBER_ROLES)[number]
export type Role = 'admin' | MemberRole

/** A signed-in person: a platform admin belongs to no client, everybody else to exactly one. */
export interface UserPrincipal extends Caller {
  kind: 'user'
  userId: string
  email: string
  isAdmin: boolean
  role: Role
  clientId: string | null
  /** The platform admin who acts as this user: everything done carries both names, and nothing of the user's own account is open to them. */
  actor?: { userId: string; email: string }
  /** Has to set up a second factor before anything else. */
  mustEnrol?: true
  /** The access token's `jti` and its session, for revocation. */
  tokenId: string
  sessionId: string
}

/** The holder of one agent's key: may talk to that agent and do nothing else. */
export interface AgentKeyPrincipal extends Caller {
  kind: 'agent-key'
  agentId: string
  clientId: string
}

/** What a machine key may be allowed to do. */
export const SCOPES = [
  'agents:read',
  'agents:write',
  'chat',
  'sessions:read',
  'sessions:write',
  'keys:read',
  'keys:write',
  'runs:read',
  'runs:write',
  'contacts:read',
  'contacts:write',
  'usage:read',
] as const
export type Scope = (typeof SCOPES)[number]

/** A program of a client, with no more rights than its key names. */
export interface MachineKeyPrincipal extends Caller {
  kind: 'machine-key'
  keyId: string
  clientId: string
  scopes: string[]
  /** The one agent that the key is for; null: any of the client. */
  agentId: string | null
}

/** Nobody yet: sign-up, sign-in and the links of mails. */
export interface AnonymousPrincipal extends Caller {
  kind: 'anonymous'
}

/** The platform itself: background work and the first start. */
export interface SystemPrincipal extends Caller {
  kind: 'system'
}

export type Principal = UserPrincipal | AgentKeyPrincipal | MachineKeyPrincipal
export type Actor = Principal | AnonymousPrincipal | SystemPrincipal

export const systemOrigin: Origin = { traceId: '0'.repeat(32), address: '-', userAgent: null }
export const system: SystemPrincipal = { kind: 'system', origin: systemOrigin }

/** Who it is, for what outlives the request: kind and ids. */
export function identityOf(principal: Principal): Record<string, unknown> {
  if (principal.kind === 'agent-key') return { kind: 'agent-key', agent_id: principal.agentId }
  if (principal.kind === 'machine-key') return { kind: 'machine-key', key_id: principal.keyId }
  return { kind: 'user', user_id: principal.userId, ...(principal.actor === undefined ? {} : { actor_user_id: principal.actor.userId }) }
}
