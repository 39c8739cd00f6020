import type { Scope } from '~/platform/principal'

/**
 * Who may call which route: what is expected, held against the running app by access-matrix.test.ts and printed by `bun run access:matrix`.
 * Written by hand and on purpose not derived from platform/access.ts: it is the second opinion.
 */

export const CALLERS = [
  'stranger',
  'expired token',
  'viewer',
  'member',
  'owner',
  'impersonating admin',
  "other client's owner",
  'admin',
  "this agent's key",
  "other agent's key",
  'machine key',
  'machine key of another scope',
  'machine key for this agent',
  'machine key for another agent',
] as const
export type Caller = (typeof CALLERS)[number]

/** `own`: the object of the client that viewer, member and owner belong to. `foreign`: another client's. */
export const OBJECTS = ['own', 'foreign'] as const
export type ObjectOf = (typeof OBJECTS)[number]

/** `ok`: the request got past the question who may; otherwise the refusal's status. */
export type Expected = 'ok' | 401 | 403 | 404

export interface Rule {
  /** The least that a caller must be. `key`: a member, or the agent's own key. */
  who: 'anybody' | 'person' | 'viewer' | 'member' | 'owner' | 'admin' | 'key'
  /** What a person of sufficient role is told about another client's object: 403 where the request names the client, 404 where it names the object. */
  foreign?: 403 | 404
  /** Open to the person, closed to an admin who acts as them. */
  notAsAnother?: true
  /** The agent's own key will do as well. */
  withKey?: true
  /** What a machine key needs; without one the route is for people. */
  scope?: Scope
  /** What the key for one agent is told, where that does not follow: of this agent, and of another one. */
  ofAgent?: [Expected, Expected]
}

const anybody: Rule = { who: 'anybody' }
const person: Rule = { who: 'person' }
const admin: Rule = { who: 'admin' }
/** The request names the client: in the path, in `x-client-id` or in the body. */
const inClient = (who: Rule['who']): Rule => ({ who, foreign: 403 })
/** The request names the object, and its client is found by it. */
const ofClient = (who: Rule['who']): Rule => ({ who, foreign: 404 })
/** Programs too, with a key of that scope. */
const or = (rule: Rule, scope: Scope, ofAgent?: [Expected, Expected]): Rule => ({ ...rule, scope, ...(ofAgent && { ofAgent }) })

export const RULES: Record<string, Rule> = {
  'GET /': anybody,
  'GET /livez': anybody,
  'GET /readyz': anybody,
  // Prometheus has a token of its own.
  'GET /metrics': anybody,
  'GET /api/v1/health': anybody,
  'GET /problems/:name': anybody,
  'GET /openapi.json': anybody,
  'GET /docs': anybody,
  'GET /redoc': anybody,
  'GET /docs/assets/:file': anybody,
  'GET /dev/mailbox/': anybody,
  'GET /dev/mailbox/:id/body': anybody,
  'GET /dev/mailbox/previews': anybody,
  'GET /dev/mailbox/previews/:template/:locale': anybody,

  'POST /api/v1/auth/register': anybody,
  'POST /api/v1/auth/login': anybody,
  'POST /api/v1/auth/login/mfa': anybody,
  'GET /api/v1/auth/verify-email/:token': anybody,
  'POST /api/v1/auth/verify-email': anybody,
  'POST /api/v1/auth/resend-verification': anybody,
  'POST /api/v1/auth/forgot-password': anybody,
  'POST /api/v1/auth/reset-password': anybody,
  'POST /api/v1/auth/accept-invitation': anybody,
  'POST /api/v1/auth/me': person,
  'PUT /api/v1/auth/locale': { who: 'person', notAsAnother: true },
  'POST /api/v1/auth/refresh': anybody,
  'GET /api/v1/auth/sessions': person,
  'DELETE /api/v1/auth/sessions/:sign_in_id': { who: 'person', notAsAnother: true },
  'POST /api/v1/auth/logout': person,
  'POST /api/v1/auth/logout-all': { who: 'person', notAsAnother: true },
  'POST /api/v1/auth/confirm-email-change': anybody,
  'GET /api/v1/auth/mfa': person,
  'POST /api/v1/auth/mfa/totp': { who: 'person', notAsAnother: true },
  'POST /api/v1/auth/mfa/totp/confirm': { who: 'person', notAsAnother: true },
  'DELETE /api/v1/auth/mfa/totp': { who: 'person', notAsAnother: true },
  'POST /api/v1/auth/mfa/recovery-codes': { who: 'person', notAsAnother: true },
  'POST /api/v1/auth/change-email': { who: 'person', notAsAnother: true },
  'POST /api/v1/auth/change-password': { who: 'person', notAsAnother: true },
  'POST /api/v1/auth/register-admin': admin,

  'GET /api/v1/admin/audit-logs': admin,
  'GET /api/v1/admin/audit-logs/export': admin,
  'GET /api/v1/admin/audit-logs/verify': admin,
  'POST /api/v1/admin/audit-logs/erase': admin,
  'GET /api/v1/clients/:client_id/audit-logs': inClient('owner'),
  'GET /api/v1/clients/:client_id/audit-logs/export': inClient('owner'),
  'GET /api/v1/admin/users': admin,
  'POST /api/v1/admin/users': admin,
  'DELETE /api/v1/admin/users/:user_id': admin,
  'POST /api/v1/admin/users/:user_id/activate': admin,
  'POST /api/v1/admin/users/:user_id/unlock': admin,
  'DELETE /api/v1/admin/users/:user_id/second-factor': admin,
  'GET /api/v1/admin/impersonations': admin,
  'DELETE /api/v1/admin/impersonations/:impersonation_id': admin,

  'GET /api/v1/admin/queues/': admin,
  'GET /api/v1/admin/queues/:queue/dead': admin,
  'POST /api/v1/admin/queues/:queue/dead/:letter_id/replay': admin,
  'DELETE /api/v1/admin/queues/:queue/dead/:letter_id': admin,
  'GET /api/v1/admin/emails': admin,
  'GET /api/v1/admin/emails/:email_id': admin,
  'POST /api/v1/admin/emails/:email_id/resend': admin,
  'GET /api/v1/admin/email-suppressions': admin,
  'DELETE /api/v1/admin/email-suppressions/:email': admin,
  'POST /api/v1/webhooks/sendgrid': anybody,

  'GET /api/v1/clients/': person,
  'POST /api/v1/clients/': admin,
  'GET /api/v1/clients/:client_id': inClient('viewer'),
  'PUT /api/v1/clients/:client_id': inClient('owner'),
  'GET /api/v1/clients/:client_id/security': inClient('viewer'),
  'PUT /api/v1/clients/:client_id/security': inClient('owner'),
  'DELETE /api/v1/clients/:client_id': admin,
  'POST /api/v1/clients/:client_id/impersonate': admin,
  'GET /api/v1/clients/:client_id/members': inClient('viewer'),
  'PUT /api/v1/clients/:client_id/members/:user_id': inClient('owner'),
  'DELETE /api/v1/clients/:client_id/members/:user_id': inClient('owner'),
  'GET /api/v1/clients/:client_id/webhooks/': inClient('owner'),
  'POST /api/v1/clients/:client_id/webhooks/': inClient('owner'),
  'GET /api/v1/clients/:client_id/webhooks/:webhook_id': inClient('owner'),
  'PUT /api/v1/clients/:client_id/webhooks/:webhook_id': inClient('owner'),
  'DELETE /api/v1/clients/:client_id/webhooks/:webhook_id': inClient('owner'),
  'GET /api/v1/clients/:client_id/webhooks/:webhook_id/deliveries': inClient('owner'),
  'POST /api/v1/clients/:client_id/webhooks/:webhook_id/deliveries/:delivery_id/replay': inClient('owner'),
  'GET /api/v1/clients/:client_id/invitations': inClient('owner'),
  'POST /api/v1/clients/:client_id/invitations': inClient('owner'),
  'DELETE /api/v1/clients/:client_id/invitations/:invitation_id': inClient('owner'),

  'GET /api/v1/clients/:client_id/machine-keys': inClient('owner'),
  'POST /api/v1/clients/:client_id/machine-keys': { ...inClient('owner'), notAsAnother: true },
  'POST /api/v1/clients/:client_id/machine-keys/:machine_key_id/rotate': { ...inClient('owner'), notAsAnother: true },
  'DELETE /api/v1/clients/:client_id/machine-keys/:machine_key_id': { ...inClient('owner'), notAsAnother: true },

  'GET /api/v1/agents/apikeys/': or(inClient('viewer'), 'keys:read', [403, 403]),
  'POST /api/v1/agents/apikeys/': or(inClient('member'), 'keys:write', [403, 403]),
  'GET /api/v1/agents/apikeys/:key_id': or(inClient('viewer'), 'keys:read', [403, 403]),
  'PUT /api/v1/agents/apikeys/:key_id': or(inClient('member'), 'keys:write', [403, 403]),
  'POST /api/v1/agents/apikeys/:key_id/check': or(inClient('member'), 'keys:write', [403, 403]),
  'DELETE /api/v1/agents/apikeys/:key_id': or(inClient('member'), 'keys:write', [403, 403]),

  // A list shows what the key's agent has to do with.
  'GET /api/v1/agents/': or(inClient('viewer'), 'agents:read', ['ok', 'ok']),
  'POST /api/v1/agents/': or(inClient('member'), 'agents:write', [403, 403]),
  'POST /api/v1/agents/validate': or(inClient('member'), 'agents:write', [403, 403]),
  'GET /api/v1/agents/:agent_id': or(ofClient('viewer'), 'agents:read'),
  'PUT /api/v1/agents/:agent_id': or(ofClient('member'), 'agents:write'),
  // What is deleted here is a fresh agent, and so no key's.
  'DELETE /api/v1/agents/:agent_id': or(ofClient('member'), 'agents:write', [404, 404]),
  'GET /api/v1/agents/:agent_id/mcp-tools': or(ofClient('viewer'), 'agents:read'),
  'POST /api/v1/agents/:agent_id/mcp-tools/accept': or(ofClient('member'), 'agents:write'),

  'GET /api/v1/agents/:agent_id/shared': or(ofClient('key'), 'chat'),
  'POST /api/v1/agents/:agent_id/share': or(inClient('member'), 'agents:write'),
  'DELETE /api/v1/agents/:agent_id/share': or(ofClient('member'), 'agents:write'),
  'GET /api/v1/agents/export': or(inClient('viewer'), 'agents:read', ['ok', 'ok']),
  'GET /api/v1/agents/:agent_id/export': or(ofClient('viewer'), 'agents:read'),
  'POST /api/v1/agents/import': or(inClient('member'), 'agents:write', [403, 403]),
  'GET /api/v1/agents/:agent_id/versions/': or(ofClient('viewer'), 'agents:read'),
  'GET /api/v1/agents/:agent_id/versions/:version': or(ofClient('viewer'), 'agents:read'),
  'GET /api/v1/agents/:agent_id/versions/:version/diff': or(ofClient('viewer'), 'agents:read'),
  'POST /api/v1/agents/:agent_id/versions/:version/rollback': or(ofClient('member'), 'agents:write'),
  'PUT /api/v1/agents/:agent_id/folder': or(inClient('member'), 'agents:write'),
  'GET /api/v1/agents/folders/': or(inClient('viewer'), 'agents:read', [403, 403]),
  'POST /api/v1/agents/folders/': or(inClient('member'), 'agents:write', [403, 403]),
  'GET /api/v1/agents/folders/:folder_id': or(inClient('viewer'), 'agents:read', [403, 403]),
  'PUT /api/v1/agents/folders/:folder_id': or(inClient('member'), 'agents:write', [403, 403]),
  'DELETE /api/v1/agents/folders/:folder_id': or(inClient('member'), 'agents:write', [403, 403]),
  'GET /api/v1/agents/folders/:folder_id/agents': or(inClient('viewer'), 'agents:read', [403, 403]),

  'GET /api/v1/mcp-servers/': person,
  'POST /api/v1/mcp-servers/': admin,
  'GET /api/v1/mcp-servers/:server_id': person,
  'PUT /api/v1/mcp-servers/:server_id': admin,
  'DELETE /api/v1/mcp-servers/:server_id': admin,
  'GET /api/v1/tools/': person,
  'POST /api/v1/tools/': admin,
  'GET /api/v1/tools/:tool_id': person,
  'PUT /api/v1/tools/:tool_id': admin,
  'DELETE /api/v1/tools/:tool_id': admin,

  'GET /api/v1/contacts/': or(inClient('viewer'), 'contacts:read', [403, 403]),
  'POST /api/v1/contacts/': or(inClient('member'), 'contacts:write', [403, 403]),
  'GET /api/v1/contacts/:contact_id': or(ofClient('viewer'), 'contacts:read', [403, 403]),
  'PUT /api/v1/contacts/:contact_id': or(ofClient('member'), 'contacts:write', [403, 403]),
  'DELETE /api/v1/contacts/:contact_id': or(ofClient('member'), 'contacts:write', [403, 403]),
  'POST /api/v1/contacts/:contact_id/erase': ofClient('owner'),

  'GET /api/v1/sessions/client/:client_id': or(inClient('viewer'), 'sessions:read', [403, 403]),
  'GET /api/v1/sessions/agent/:agent_id': or(ofClient('viewer'), 'sessions:read'),
  'GET /api/v1/sessions/:session_id': or(ofClient('viewer'), 'sessions:read'),
  'GET /api/v1/sessions/:session_id/messages': or(ofClient('viewer'), 'sessions:read'),
  'GET /api/v1/sessions/:session_id/artifacts': or(ofClient('viewer'), 'sessions:read'),
  'GET /api/v1/sessions/:session_id/artifacts/:filename': or(ofClient('viewer'), 'sessions:read'),
  'DELETE /api/v1/sessions/:session_id': or(ofClient('member'), 'sessions:write'),

  'POST /api/v1/agents/:agent_id/runs': or(ofClient('member'), 'runs:write'),
  'GET /api/v1/runs/': or({ who: 'viewer' }, 'runs:read', ['ok', 'ok']),
  'GET /api/v1/runs/:run_id': or(ofClient('viewer'), 'runs:read'),
  'GET /api/v1/runs/:run_id/events': { ...or(ofClient('viewer'), 'runs:read'), withKey: true },
  'POST /api/v1/runs/:run_id/cancel': or(ofClient('member'), 'runs:write'),
  'POST /api/v1/runs/:run_id/reconcile': or(ofClient('member'), 'runs:write'),
  'POST /api/v1/runs/:run_id/approve': or(ofClient('member'), 'runs:write'),
  'GET /api/v1/usage': or({ who: 'viewer' }, 'usage:read', [403, 403]),
  'GET /api/v1/budgets/:client_id': or(inClient('viewer'), 'usage:read', [403, 403]),
  'PUT /api/v1/budgets/:client_id/:scope/:scope_id': inClient('owner'),
  'DELETE /api/v1/budgets/:client_id/:scope/:scope_id': inClient('owner'),
  'GET /api/v1/approvals/': or({ who: 'viewer' }, 'runs:read', ['ok', 'ok']),
  'GET /api/v1/approvals/:approval_id': or(ofClient('viewer'), 'runs:read'),
  'POST /api/v1/approvals/:approval_id/decision': or(ofClient('member'), 'runs:write'),

  'POST /api/v1/chat/:agent_id/:external_id': or(ofClient('key'), 'chat'),
  // Who it is comes in the first frame: tests/runs/chat-socket.test.ts.
  'GET /api/v1/chat/ws/:agent_id/:external_id': anybody,

  'GET /api/v1/a2a/health': anybody,
  'GET /api/v1/a2a/:agent_id/.well-known/agent.json': anybody,
  'GET /api/v1/a2a/:agent_id/.well-known/agent-card.json': anybody,
  'POST /api/v1/a2a/:agent_id': or(ofClient('key'), 'chat'),
  'GET /api/v1/a2a/:agent_id': or(ofClient('key'), 'chat'),
  'GET /api/v1/a2a/:agent_id/sessions': or(ofClient('key'), 'chat'),
  'GET /api/v1/a2a/:agent_id/sessions/:session_id/history': or(ofClient('key'), 'chat'),
  'POST /api/v1/a2a/:agent_id/conversation/history': or(ofClient('key'), 'chat'),
}

const RANK = { person: 0, viewer: 1, member: 2, key: 2, owner: 3, admin: 4 }
/** What each caller is, and of which client. An admin who acts as the owner is the owner. */
const STANDING: Record<string, { rank: number; home?: ObjectOf }> = {
  viewer: { rank: 1, home: 'own' },
  member: { rank: 2, home: 'own' },
  owner: { rank: 3, home: 'own' },
  'impersonating admin': { rank: 3, home: 'own' },
  "other client's owner": { rank: 3, home: 'foreign' },
  admin: { rank: 4 },
}

export function expectedOf(rule: Rule, caller: Caller, object: ObjectOf): Expected {
  const { who, foreign, notAsAnother, withKey = who === 'key' } = rule
  if (who === 'anybody') return 'ok'
  if (caller.startsWith('machine key')) return expectedOfMachine(rule, caller, object)
  if (caller === "this agent's key" && withKey && object === 'own') return 'ok'
  const standing = STANDING[caller]
  if (standing === undefined) return 401
  if (standing.rank < RANK[who] || (notAsAnother && caller === 'impersonating admin')) return 403
  return standing.home === undefined || standing.home === object || foreign === undefined ? 'ok' : foreign
}

function expectedOfMachine({ scope, foreign, ofAgent }: Rule, caller: Caller, object: ObjectOf): Expected {
  if (scope === undefined || caller === 'machine key of another scope') return 403
  if (ofAgent?.[0] === 403 && caller !== 'machine key') return 403
  if (object === 'foreign') return foreign ?? 'ok'
  if (caller === 'machine key for this agent') return ofAgent?.[0] ?? 'ok'
  if (caller === 'machine key for another agent') return ofAgent?.[1] ?? 404
  return 'ok'
}

/** Routes that are about no client's object are asked once. */
export const objectsOf = ({ foreign }: Rule): readonly ObjectOf[] => (foreign === undefined ? ['own'] : OBJECTS)

if (import.meta.main) {
  const width = Math.max(...Object.keys(RULES).map((route) => route.length))
  const cell = (text: string, caller: Caller) => text.padStart(Math.max(caller.length, 3))
  const header = `${'route'.padEnd(width)}  object   ${CALLERS.map((caller) => cell(caller, caller)).join('  ')}`
  const lines = Object.entries(RULES).flatMap(([route, rule]) =>
    objectsOf(rule).map((object) => {
      const cells = CALLERS.map((caller) => cell(String(expectedOf(rule, caller, object)), caller))
      return `${route.padEnd(width)}  ${(rule.foreign === undefined ? '-' : object).padEnd(7)}  ${cells.join('  ')}`
    }),
  )
  process.stdout.write(`${[header, '-'.repeat(header.length), ...lines].join('\n')}\n`)
}
