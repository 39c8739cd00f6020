import { describe, expect, test } from 'bun:test'
import { type Action, authorize, authorizeReach, can, type TenantKind } from './access'
import type { AgentKeyPrincipal, MachineKeyPrincipal, Role, UserPrincipal } from './principal'

const origin = { traceId: '0'.repeat(32), address: '-', userAgent: null }
const person = (role: Role, more: Partial<UserPrincipal> = {}): UserPrincipal => ({
  kind: 'user',
  userId: 'sam',
  email: 'sam@acme.example',
  isAdmin: role === 'admin',
  role,
  clientId: role === 'admin' ? null : 'acme',
  tokenId: 't',
  sessionId: 's',
  origin,
  ...more,
})
const machine = (scopes: string[], agentId: string | null = null): MachineKeyPrincipal => ({
  kind: 'machine-key',
  keyId: 'k',
  clientId: 'acme',
  scopes,
  agentId,
  origin,
})
const agentKey: AgentKeyPrincipal = { kind: 'agent-key', agentId: 'scout', clientId: 'acme', origin }

/** Complete, or it does not compile. */
const KINDS: Record<TenantKind, true> = {
  agents: true,
  keys: true,
  sessions: true,
  runs: true,
  chat: true,
  usage: true,
  contacts: true,
  erasures: true,
  client: true,
  members: true,
  invitations: true,
  'machine-keys': true,
  audit: true,
  webhooks: true,
}
const TENANT_KINDS = Object.keys(KINDS) as TenantKind[]
/** All that is allowed in the client, as `kind:action`. */
const rightsOf = (principal: Parameters<typeof can>[0], clientId = 'acme', agentId: string | null = null) =>
  TENANT_KINDS.flatMap((kind) =>
    (['read', 'write'] as Action[])
      .filter((action) => can(principal, action, { kind, clientId, agentId }))
      .map((action) => `${kind}:${action}`),
  )

const READ = ['agents:read', 'keys:read', 'sessions:read', 'runs:read', 'usage:read', 'contacts:read', 'client:read', 'members:read']
const WORK = ['agents:write', 'keys:write', 'sessions:write', 'runs:write', 'chat:read', 'chat:write', 'contacts:write']
const OWN = [
  'usage:write',
  'client:write',
  'members:write',
  ...['erasures', 'invitations', 'machine-keys', 'audit', 'webhooks'].flatMap((kind) => [`${kind}:read`, `${kind}:write`]),
]

describe('people', () => {
  test.each([
    ['viewer', READ],
    ['member', [...READ, ...WORK]],
    ['owner', [...READ, ...WORK, ...OWN]],
  ] as const)('a %s may do this in the own client and nothing in another', (role, rights) => {
    expect(rightsOf(person(role)).toSorted()).toEqual([...rights].toSorted())
    expect(rightsOf(person(role), 'other')).toEqual([])
    expect(can(person(role), 'read', { kind: 'platform' })).toBe(false)
    expect(can(person(role), 'read', { kind: 'catalogue' })).toBe(true)
    expect(can(person(role), 'write', { kind: 'catalogue' })).toBe(false)
  })

  test('an admin may do everything in every client, and on the platform', () => {
    expect(rightsOf(person('admin'), 'any')).toHaveLength(2 * TENANT_KINDS.length)
    expect(can(person('admin'), 'write', { kind: 'platform' })).toBe(true)
    expect(can(person('admin'), 'write', { kind: 'catalogue' })).toBe(true)
  })

  test('a role counts, and not what else a principal says of itself', () => {
    expect(can(person('owner', { isAdmin: true }), 'read', { kind: 'platform' })).toBe(false)
  })

  test('an account is its own person’s, and closed to an admin who acts as them', () => {
    const account = { kind: 'account', userId: 'sam' } as const
    expect(can(person('viewer'), 'write', account)).toBe(true)
    expect(can(person('admin', { userId: 'root' }), 'write', account)).toBe(false)
    const actedFor = person('owner', { actor: { userId: 'root', email: 'root@example.com' } })
    expect(can(actedFor, 'read', account)).toBe(true)
    expect(can(actedFor, 'write', account)).toBe(false)
  })
})

test('an admin who acts as an owner makes no keys: they would outlive the half hour', () => {
  const actedFor = person('owner', { actor: { userId: 'root', email: 'root@example.com' } })
  const keys = { kind: 'machine-keys', clientId: 'acme' } as const
  expect([can(person('owner'), 'write', keys), can(actedFor, 'read', keys), can(actedFor, 'write', keys)]).toEqual([true, true, false])
})

describe('keys', () => {
  test("an agent's key opens its agent's chat and runs, and nothing of another", () => {
    expect(rightsOf(agentKey, 'acme', 'scout')).toEqual(['runs:read', 'runs:write', 'chat:read', 'chat:write'])
    expect(rightsOf(agentKey, 'acme', 'guide')).toEqual([])
    expect(rightsOf(agentKey, 'acme')).toEqual([])
    expect(rightsOf(agentKey, 'other', 'scout')).toEqual([])
  })

  test('a machine key may do what its scopes say, in its client', () => {
    expect(rightsOf(machine(['agents:read', 'keys:write']))).toEqual(['agents:read', 'keys:write'])
    expect(rightsOf(machine(['chat']))).toEqual(['chat:read', 'chat:write'])
    expect(rightsOf(machine(['agents:read']), 'other')).toEqual([])
  })

  test('no scope reaches people, the client or other keys, even one that is spelt so', () => {
    expect(rightsOf(machine(['agents', '*', 'sessions:*']))).toEqual([])
    const spelt = machine(['client:write', 'members:write', 'machine-keys:write', 'invitations:write'])
    expect(rightsOf(spelt)).toEqual([])
    for (const kind of ['platform', 'catalogue'] as const)
      expect(can(machine(['catalogue:read', 'platform:read']), 'read', { kind })).toBe(false)
  })

  test('a machine key for one agent reaches that one, and makes none', () => {
    const key = machine(['agents:read', 'agents:write', 'chat', 'keys:read', 'sessions:read'], 'scout')
    expect(rightsOf(key, 'acme', 'scout')).toEqual(['agents:read', 'agents:write', 'sessions:read', 'chat:read', 'chat:write'])
    expect(rightsOf(key, 'acme', 'guide')).toEqual([])
    expect(rightsOf(key, 'acme')).toEqual([])
    expect(authorizeReach(key, 'read', 'agents')).toEqual({ clientId: 'acme', agentId: 'scout' })
  })
})

test('a refusal says what is missing, in the words of the contract where it has any', () => {
  const refusal = (work: () => unknown) => {
    try {
      work()
    } catch (error) {
      return String(error)
    }
    return 'allowed'
  }
  expect(refusal(() => authorize(person('owner'), 'read', { kind: 'platform' }))).toEndWith('Access denied. Restricted to administrators.')
  expect(refusal(() => authorize(person('viewer'), 'write', { kind: 'agents', clientId: 'other' }))).toEndWith(
    'Access denied to access resources of this client',
  )
  expect(refusal(() => authorizeReach(person('viewer'), 'write', 'agents'))).toEndWith('This needs the role member in the client.')
  expect(refusal(() => authorizeReach(machine(['chat']), 'read', 'agents'))).toEndWith('This key does not allow agents:read here.')
})
