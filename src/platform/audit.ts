/** What somebody did, for the audit log. Who, from where and when is added by the unit of work that the entry is committed with. */
export interface AuditEntry {
  /** A verb: `create`, `update`, `delete`, `login` … */
  action: string
  /** What kind of thing: `agent`, `client`, `user` … */
  resourceType: string
  resourceId: string | null
  /** Never a secret: it is shown to whoever may read the log. */
  details?: Record<string, unknown>
  /** Whose log it belongs to, where that is not the actor's own client; null for the platform's. */
  clientId?: string | null
  /** Who did it, where that is known only afterwards: at a sign-in. */
  userId?: string
}

/** The payload of an outbox row of kind `audit`. `created_at` is ISO 8601: the entry tells when it happened, not when a worker wrote it down. */
export interface AuditPayload {
  user_id: string | null
  /** The platform admin who acted as that user. */
  actor_user_id: string | null
  client_id: string | null
  action: string
  resource_type: string
  resource_id: string | null
  details: Record<string, unknown> | null
  ip_address: string | null
  user_agent: string | null
  trace_id: string | null
  created_at: string
}
