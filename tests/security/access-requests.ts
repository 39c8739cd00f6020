import { PASSWORD } from '../support/start-app'
import type { ObjectOf } from './access-matrix'
import { PROVIDER_KEY, type World } from './access-world'

export interface Request {
  query?: string
  body?: unknown
  headers?: Record<string, string>
}

/** What a route is sent besides its path, so that nothing but the caller can be wrong with it. */
export const REQUESTS: Record<string, (world: World, object: ObjectOf) => Request | Promise<Request>> = {
  'POST /api/v1/a2a/:agent_id': () => ({
    body: { jsonrpc: '2.0', id: 1, method: 'message/send', params: { message: { role: 'user', parts: [{ type: 'text', text: 'hi' }] } } },
  }),
  'POST /api/v1/a2a/:agent_id/conversation/history': () => ({ body: { params: { external_id: 'first' } } }),
  'POST /api/v1/auth/register': ({ address }) => ({ body: { email: address(), password: 'four unusual words here', name: 'Newcomers' } }),
  'POST /api/v1/auth/login': () => ({ body: { email: 'ada@example.com', password: PASSWORD } }),
  'POST /api/v1/auth/verify-email': () => ({ body: { token: 'nothing' } }),
  'POST /api/v1/auth/resend-verification': ({ address }) => ({ body: { email: address() } }),
  'POST /api/v1/auth/forgot-password': ({ address }) => ({ body: { email: address() } }),
  'POST /api/v1/auth/reset-password': () => ({ body: { token: 'nothing', new_password: 'four unusual words here' } }),
  'POST /api/v1/auth/accept-invitation': async ({ invitationToken, tenants }) => ({
    body: { token: await invitationToken(tenants.own), name: 'Sam', password: 'four unusual words here' },
  }),
  'POST /api/v1/auth/refresh': () => ({ body: { refresh_token: 'nothing' } }),
  'PUT /api/v1/auth/locale': () => ({ body: { locale: 'en' } }),
  'POST /api/v1/auth/change-password': () => ({ body: { current_password: 'not the password', new_password: 'four unusual words here' } }),
  'POST /api/v1/auth/login/mfa': () => ({ body: { mfa_token: 'nothing', code: '123456' } }),
  'POST /api/v1/auth/mfa/totp': () => ({ body: { current_password: PASSWORD } }),
  'POST /api/v1/auth/mfa/totp/confirm': () => ({ body: { code: 'no code' } }),
  'DELETE /api/v1/auth/mfa/totp': () => ({ body: { current_password: PASSWORD, code: 'no code' } }),
  'POST /api/v1/auth/mfa/recovery-codes': () => ({ body: { current_password: PASSWORD, code: 'no code' } }),
  'PUT /api/v1/clients/:client_id/security': () => ({ body: { require_second_factor: false } }),
  'POST /api/v1/auth/change-email': ({ address }) => ({ body: { current_password: PASSWORD, new_email: address() } }),
  'POST /api/v1/auth/confirm-email-change': () => ({ body: { token: 'nothing' } }),
  'POST /api/v1/auth/register-admin': ({ address }) => ({ body: { email: address(), password: PASSWORD, name: 'Root' } }),
  'POST /api/v1/admin/users': ({ address }) => ({ body: { email: address(), password: PASSWORD, name: 'Root' } }),
  'POST /api/v1/clients/:client_id/webhooks/': () => ({ body: { url: 'https://hooks.example/x', events: ['run.finished'] } }),
  'PUT /api/v1/clients/:client_id/webhooks/:webhook_id': () => ({ body: { description: 'changed' } }),
  'POST /api/v1/admin/audit-logs/erase': () => ({ body: { user_id: crypto.randomUUID() } }),
  'POST /api/v1/clients/': ({ address }) => ({ body: { email: address(), password: PASSWORD, name: 'Acme' } }),
  'PUT /api/v1/clients/:client_id': ({ address }) => ({ body: { email: address(), name: 'Acme' } }),
  'PUT /api/v1/clients/:client_id/members/:user_id': () => ({ body: { role: 'viewer' } }),
  'POST /api/v1/clients/:client_id/invitations': ({ address }) => ({ body: { email: address(), role: 'viewer' } }),
  'POST /api/v1/clients/:client_id/machine-keys': () => ({ body: { name: 'a program', scopes: ['chat'] } }),
  'GET /api/v1/agents/apikeys/': ofHeader(),
  'POST /api/v1/agents/apikeys/': ({ tenants }, object) => ({
    body: { client_id: tenants[object].clientId, name: 'k', provider: 'openai', key_value: PROVIDER_KEY },
  }),
  'GET /api/v1/agents/apikeys/:key_id': ofHeader(),
  'PUT /api/v1/agents/apikeys/:key_id': ofHeader({ name: 'l' }),
  'POST /api/v1/agents/apikeys/:key_id/check': ofHeader(),
  'DELETE /api/v1/agents/apikeys/:key_id': ofHeader(),
  'GET /api/v1/agents/': ofHeader(),
  'POST /api/v1/agents/': ({ tenants }, object) => ({
    body: { client_id: tenants[object].clientId, name: 'guide', type: 'llm', model: 'demo/echo', config: {} },
  }),
  'POST /api/v1/agents/validate': ({ tenants }, object) => ({ body: { client_id: tenants[object].clientId, type: 'llm' } }),
  'PUT /api/v1/agents/:agent_id': () => ({ body: { description: 'changed' } }),
  'POST /api/v1/agents/:agent_id/mcp-tools/accept': () => ({
    body: { tools: [{ server_key: 'url:nothing', name: 'nothing', hash: '0'.repeat(64) }] },
  }),
  'POST /api/v1/agents/:agent_id/share': ofHeader({}),
  'GET /api/v1/agents/export': ofHeader(),
  'POST /api/v1/agents/import': ofHeader({ agents: [] }),
  'PUT /api/v1/agents/:agent_id/folder': ofHeader({}),
  'GET /api/v1/agents/folders/': ofHeader(),
  'POST /api/v1/agents/folders/': ({ tenants }, object) => ({ body: { client_id: tenants[object].clientId, name: 'f' } }),
  'GET /api/v1/agents/folders/:folder_id': ofHeader(),
  'PUT /api/v1/agents/folders/:folder_id': ofHeader({ name: 'g' }),
  'DELETE /api/v1/agents/folders/:folder_id': ofHeader(),
  'GET /api/v1/agents/folders/:folder_id/agents': ofHeader(),
  'POST /api/v1/mcp-servers/': () => ({ body: MCP_SERVER }),
  'PUT /api/v1/mcp-servers/:server_id': () => ({ body: MCP_SERVER }),
  'POST /api/v1/tools/': () => ({ body: { name: 't' } }),
  'PUT /api/v1/tools/:tool_id': () => ({ body: { name: 't' } }),
  'GET /api/v1/contacts/': ({ tenants }, object) => ({ query: `?client_id=${tenants[object].clientId}` }),
  'POST /api/v1/contacts/': ({ tenants }, object) => ({ body: { client_id: tenants[object].clientId } }),
  'PUT /api/v1/contacts/:contact_id': ({ tenants }, object) => ({ body: { client_id: tenants[object].clientId } }),
  'POST /api/v1/agents/:agent_id/runs': () => ({ body: { message: 'hi' } }),
  'POST /api/v1/runs/:run_id/reconcile': () => ({ body: { step: 'none', decision: 'retry' } }),
  // Something of that run to be decided on: its step is named like it.
  'POST /api/v1/runs/:run_id/approve': async ({ pathOf }, object) => ({
    body: { decision: 'approve', step: (await pathOf('GET /:approval_id', object)).slice(1) },
  }),
  'PUT /api/v1/budgets/:client_id/:scope/:scope_id': () => ({ body: { limit_usd: 1000 } }),
  'POST /api/v1/approvals/:approval_id/decision': () => ({ body: { decision: 'approve' } }),
  'POST /api/v1/chat/:agent_id/:external_id': () => ({ body: { message: 'hi' } }),
}

const MCP_SERVER = { name: 'm', config_type: 'sse', config_json: { url: 'https://mcp.example.com/' }, tools: [] }

/** What a caller who may is answered where it is not 2xx: nothing here is quite in order but the caller. */
export const ANSWERS: Record<string, number[]> = {
  // Without an upgrade, which the socket's own tests make.
  'GET /api/v1/chat/ws/:agent_id/:external_id': [400],
  'GET /readyz': [200, 503],
  'GET /redoc': [307],
  'GET /dev/mailbox/:id/body': [404],
  'GET /metrics': [404],
  // A client has twenty at most.
  'POST /api/v1/clients/:client_id/webhooks/': [201, 409],
  'POST /api/v1/clients/:client_id/webhooks/:webhook_id/deliveries/:delivery_id/replay': [404],
  'POST /api/v1/admin/queues/:queue/dead/:letter_id/replay': [404],
  'DELETE /api/v1/admin/queues/:queue/dead/:letter_id': [404],
  'GET /api/v1/admin/emails/:email_id': [404],
  'POST /api/v1/admin/emails/:email_id/resend': [404],
  'DELETE /api/v1/admin/email-suppressions/:email': [404],
  // Its caller is known by a signature, and its key is not configured here.
  'POST /api/v1/webhooks/sendgrid': [503],
  'GET /api/v1/auth/verify-email/:token': [400],
  'POST /api/v1/auth/verify-email': [400],
  'POST /api/v1/auth/login/mfa': [400],
  'POST /api/v1/auth/mfa/totp/confirm': [400],
  'DELETE /api/v1/auth/mfa/totp': [404],
  'POST /api/v1/auth/mfa/recovery-codes': [404],
  'DELETE /api/v1/admin/users/:user_id/second-factor': [404],
  'POST /api/v1/auth/reset-password': [400],
  'POST /api/v1/auth/confirm-email-change': [400],
  'POST /api/v1/auth/refresh': [401],
  'DELETE /api/v1/auth/sessions/:sign_in_id': [404],
  'POST /api/v1/auth/change-password': [400, 422],
  'POST /api/v1/agents/:agent_id/mcp-tools/accept': [422],
  'POST /api/v1/runs/:run_id/reconcile': [409],
}

function ofHeader(body?: unknown) {
  return ({ tenants }: World, object: ObjectOf): Request => ({
    headers: { 'x-client-id': tenants[object].clientId },
    ...(body === undefined ? {} : { body }),
  })
}
