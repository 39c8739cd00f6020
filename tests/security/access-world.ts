import { desc, eq } from 'drizzle-orm'
import { approvals } from '~/features/approvals/table'
import { deriveToken } from '~/features/auth/one-time-token'
import { files } from '~/features/files/table'
import { runs } from '~/features/runs/table'
import { sessions } from '~/features/sessions/table'
import { SCOPES, type Scope } from '~/platform/principal'
import { createTokens } from '~/platform/tokens'
import type { Reply, TestApp } from '../support/start-app'
import { PASSWORD } from '../support/start-app'
import type { Caller, ObjectOf } from './access-matrix'

export type World = Awaited<ReturnType<typeof createWorld>>

/** Never shown again, but for its last four letters. */
export const PROVIDER_KEY = 'sk-never-to-be-shown-7f3a'

/** A client with everything a route may be about. What a request may use up is made anew for each. */
interface Tenant {
  clientId: string
  agentId: string
  runId: string
}

/** Two clients with people, agents and runs, and every caller of the matrix ready to call. */
export async function createWorld(app: TestApp) {
  const { admin } = app
  const ok = async (reply: Promise<Reply>) => {
    const { status, body } = await reply
    if (status >= 300) throw new Error(`the world could not be made: ${status} ${JSON.stringify(body)}`)
    return body
  }
  const address = () => `${crypto.randomUUID()}@example.com`

  const makeAgent = (clientId: string) =>
    ok(admin.call('POST', '/api/v1/agents/', { client_id: clientId, name: 'guide', type: 'llm', model: 'demo/echo', config: {} }))
  const makeTenant = async (clientId: string): Promise<Tenant & { agentKey: string }> => {
    const { id: agentId, config } = await makeAgent(clientId)
    await ok(admin.call('POST', `/api/v1/chat/${agentId}/first`, { message: 'hi' }))
    const [run] = await app.services.db.select({ id: runs.id }).from(runs).where(eq(runs.agentId, agentId)).orderBy(desc(runs.id))
    return { clientId, agentId, runId: run?.id ?? '', agentKey: config.api_key }
  }
  const tenants = { own: await makeTenant(app.ada.clientId), foreign: await makeTenant(app.bob.clientId) }
  const people = {
    viewer: await app.join(address(), tenants.own.clientId, 'viewer'),
    member: await app.join(address(), tenants.own.clientId, 'member'),
  }
  const emails: Partial<Record<Caller, string>> = {
    viewer: people.viewer.email,
    member: people.member.email,
    owner: app.ada.email,
    "other client's owner": app.bob.email,
    admin: admin.email,
  }
  const otherAgent = await makeAgent(tenants.own.clientId)

  const signIn = async (email: string) => {
    const { access_token } = await ok(app.stranger('POST', '/api/v1/auth/login', { email, password: PASSWORD }))
    return bearer(access_token)
  }
  /** Somebody new who is what that caller is, for what ends all sign-ins of a person. */
  const lookalikeOf = async (caller: Caller): Promise<Record<string, string>> => {
    if (caller === 'admin') return bearer((await app.signIn(address())).token)
    const role = caller === 'viewer' || caller === 'member' ? caller : 'owner'
    if (emails[caller] === undefined) return credentialsOf(caller)
    const { clientId } = caller === "other client's owner" ? tenants.foreign : tenants.own
    return bearer((await app.join(address(), clientId, role)).token)
  }
  const machineKeyOf = async (caller: Caller): Promise<string> => {
    const agentId = caller.endsWith('this agent') ? tenants.own.agentId : caller.endsWith('another agent') ? otherAgent.id : null
    const scopes = SCOPES.filter((scope) => agentId === null || !/^(keys|contacts|usage):/.test(scope))
    return makeMachineKey(tenants.own.clientId, { scopes, agent_id: agentId })
  }
  const makeMachineKey = async (clientId: string, more: object): Promise<string> =>
    (await ok(admin.call('POST', `/api/v1/clients/${clientId}/machine-keys`, { name: 'a program', scopes: ['chat'], ...more }))).key
  /** A key that may do anything but what this route needs. */
  const keyWithout = async (scope: Scope | undefined) =>
    bearer(await makeMachineKey(tenants.own.clientId, { scopes: SCOPES.filter((other) => other !== scope) }))
  const credentialsOf = async (caller: Caller): Promise<Record<string, string>> => {
    if (caller === 'stranger') return {}
    if (caller === 'expired token') return bearer(await expiredToken(app))
    if (caller === "this agent's key") return { 'x-api-key': tenants.own.agentKey }
    if (caller === "other agent's key") return { 'x-api-key': otherAgent.config.api_key }
    if (caller.startsWith('machine key')) return bearer(await machineKeyOf(caller))
    if (caller !== 'impersonating admin') return signIn(emails[caller] ?? '')
    const { access_token } = await ok(admin.call('POST', `/api/v1/clients/${tenants.own.clientId}/impersonate`))
    return bearer(access_token)
  }

  /** By the name of the parameter: the id of something fresh, where a request may use it up. */
  const objects: Record<string, (tenant: Tenant, route: string) => Promise<string> | string> = {
    client_id: async ({ clientId }, route) =>
      // Deleted by the admin alone, and the callers' own client is needed further on.
      route.startsWith('DELETE') && route.endsWith('/:client_id')
        ? (await ok(admin.call('POST', '/api/v1/clients', { name: 'Brief', email: address(), password: PASSWORD }))).id
        : clientId,
    agent_id: async ({ clientId, agentId }, route) => (/^DELETE .*:agent_id$/.test(route) ? (await makeAgent(clientId)).id : agentId),
    external_id: () => 'talk',
    version: () => '1',
    key_id: async ({ clientId }) =>
      (
        await ok(
          admin.call('POST', '/api/v1/agents/apikeys', { client_id: clientId, name: 'k', provider: 'openai', key_value: PROVIDER_KEY }),
        )
      ).id,
    folder_id: async ({ clientId }) => (await ok(admin.call('POST', '/api/v1/agents/folders', { client_id: clientId, name: 'f' }))).id,
    contact_id: async ({ clientId }) => (await ok(admin.call('POST', '/api/v1/contacts', { client_id: clientId }))).id,
    server_id: async () =>
      (await ok(admin.call('POST', '/api/v1/mcp-servers', { name: 'm', config_json: { url: 'https://mcp.example.com/' }, tools: [] }))).id,
    tool_id: async () => (await ok(admin.call('POST', '/api/v1/tools', { name: 't' }))).id,
    session_id: async ({ clientId, agentId }) => {
      const externalId = crypto.randomUUID()
      const id = `${externalId}_${agentId}`
      await app.services.db.insert(sessions).values({ id, clientId, agentId, externalId })
      const empty = { filename: 'note.txt', version: 0, contentType: 'text/plain', size: 0, sha256: Buffer.alloc(32) }
      const kept = { author: 'user' as const, store: 'database' as const }
      await app.services.db.insert(files).values({ ...empty, ...kept, id: crypto.randomUUID(), clientId, sessionId: id })
      return id
    },
    run_id: ({ runId }) => runId,
    scope: () => 'agent',
    // A budget that is there.
    scope_id: async ({ clientId, agentId }) => {
      await ok(admin.call('PUT', `/api/v1/budgets/${clientId}/agent/${agentId}`, { limit_usd: 1000 }))
      return agentId
    },
    approval_id: async ({ clientId, agentId, runId }) => {
      const id = crypto.randomUUID()
      const question = { clientId, runId, agentId, stepKey: id, agent: 'guide', tool: 'book', arguments: {} }
      await app.services.db.insert(approvals).values({ ...question, id, expiresAt: new Date(Date.now() + 60_000) })
      return id
    },
    user_id: async ({ clientId }) => (await app.join(address(), clientId, 'member')).userId,
    invitation_id: async ({ clientId }) =>
      (await ok(admin.call('POST', `/api/v1/clients/${clientId}/invitations`, { email: address(), role: 'viewer' }))).id,
    machine_key_id: async ({ clientId }) =>
      (await ok(admin.call('POST', `/api/v1/clients/${clientId}/machine-keys`, { name: 'brief', scopes: ['chat'] }))).id,
    impersonation_id: async ({ clientId }) => {
      await ok(admin.call('POST', `/api/v1/clients/${clientId}/impersonate`))
      return (await ok(admin.call('GET', '/api/v1/admin/impersonations?limit=1')))[0].id
    },
    name: () => 'not-found',
    template: () => 'welcome',
    webhook_id: async ({ clientId }) => {
      const { status, body } = await admin.call('POST', `/api/v1/clients/${clientId}/webhooks`, {
        url: 'https://hooks.example/x',
        events: ['run.finished'],
      })
      if (status === 201) return body.id
      // There are as many as a client may have.
      return (await ok(admin.call('GET', `/api/v1/clients/${clientId}/webhooks`)))[0].id
    },
    delivery_id: () => crypto.randomUUID(),
    queue: () => 'email',
    letter_id: () => crypto.randomUUID(),
    email_id: () => crypto.randomUUID(),
    email: () => 'nobody@example.com',
    locale: () => 'pt',
    sign_in_id: () => crypto.randomUUID(),
    file: () => 'docs.css',
    filename: () => 'note.txt',
    token: () => 'nothing',
    id: () => crypto.randomUUID(),
  }

  return {
    tenants,
    credentialsOf,
    lookalikeOf,
    keyWithout,
    address,
    /** The token of an invitation into the client, as its mail has it. */
    invitationToken: async (tenant: Tenant) =>
      deriveToken(app.services.stores.linkKeys[0], await (objects.invitation_id as (t: Tenant) => Promise<string>)(tenant)),
    /** A route's path with the ids of that client's objects. */
    async pathOf(route: string, object: ObjectOf, fixed: Record<string, string> = {}): Promise<string> {
      const [, path = ''] = route.split(' ')
      const parts = path.split('/').map(async (part) => {
        if (!part.startsWith(':')) return part
        const make = objects[part.slice(1)]
        if (make === undefined) throw new Error(`access-world.ts knows no object for ${part} of ${route}`)
        return fixed[part.slice(1)] ?? make(tenants[object], route)
      })
      return (await Promise.all(parts)).join('/')
    },
  }
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

/** Signed with the right key, of a living sign-in, and over. */
async function expiredToken({ config, ada }: TestApp): Promise<string> {
  const { jwtSecret = '', issuer, audience } = config.access
  const tokens = createTokens({ secrets: [jwtSecret], issuer, audience, lifetimeSeconds: -60 })
  const { sid } = JSON.parse(Buffer.from(ada.token.split('.')[1] ?? '', 'base64url').toString())
  return tokens.issue({ userId: ada.userId, sessionId: sid, tokenId: crypto.randomUUID(), isAdmin: false, clientId: ada.clientId })
}
