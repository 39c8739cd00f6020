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

/** A signed-in person: a platform admin belongs to no client, everybody else to exactly one. */
export interface UserPrincipal extends Caller {
  kind: 'user'
  userId: string
  email: string
  isAdmin: boolean
  clientId: string | null
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

/** Nobody yet: sign-up, sign-in and the links of mails. */
export interface AnonymousPrincipal extends Caller {
  kind: 'anonymous'
}

/** The platform itself: background work and the first start. */
export interface SystemPrincipal extends Caller {
  kind: 'system'
}

export type Principal = UserPrincipal | AgentKeyPrincipal
export type Actor = Principal | AnonymousPrincipal | SystemPrincipal

export const systemOrigin: Origin = { traceId: '0'.repeat(32), address: '-', userAgent: null }
export const system: SystemPrincipal = { kind: 'system', origin: systemOrigin }
