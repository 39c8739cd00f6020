import { createHash } from 'node:crypto'
import { inArray } from 'drizzle-orm'
import { sealSecrets } from '~/features/agents/config-secrets'
import { AGENT_TYPES, type AgentType, agents } from '~/features/agents/table'
import { configContextOf } from '~/features/agents/view'
import { clients } from '~/features/clients/table'
import { folders } from '~/features/folders/table'
import { contextOf as contextOfServer } from '~/features/mcp-servers/service'
import { mcpServers } from '~/features/mcp-servers/table'
import { providerKeys } from '~/features/provider-keys/table'
import { contextOf as contextOfTool } from '~/features/tools/service'
import { tools } from '~/features/tools/table'
import { sealConfig } from '~/platform/catalogue-secrets'
import type { Secrets } from '~/platform/secrets'
import { openFernet } from './fernet'
import type { SourceRows } from './source'
import { asObject, cut, idsOf, onlyNew, type World } from './world'

const MAX_NAME = 200

/** What is common to rows of a client; says why those without one stay behind. */
async function ofClients<T extends 'agent_folders' | 'api_keys' | 'agents'>(world: World, table: T, rows: SourceRows[T][]) {
  const named = rows.map((row) => ({ ...row, id: row.id, client_id: row.client_id }))
  const known = await idsOf(
    world.tx,
    clients,
    named.flatMap(({ client_id }) => client_id ?? []),
  )
  return named.flatMap((row) => {
    const { client_id: clientId } = row
    if (clientId !== null && known.has(clientId)) return [{ ...row, clientId }]
    world.report.leaveOut(table, row.id, clientId === null ? 'its client was deleted' : 'its client did not come over')
    return []
  })
}

const times = ({ created_at, updated_at }: { created_at: Date | null; updated_at: Date | null }) => ({
  ...(created_at === null ? {} : { createdAt: created_at }),
  updatedAt: updated_at,
})

export async function bringFolders(world: World, rows: SourceRows['agent_folders'][]) {
  const sound = await ofClients(world, 'agent_folders', await onlyNew(world, 'agent_folders', folders, rows))
  if (sound.length === 0) return
  await world.tx.insert(folders).values(
    sound.map(({ id, clientId, name, description, ...row }) => ({
      id,
      clientId,
      name: cut(name, MAX_NAME) || 'unnamed',
      description: description === null ? null : cut(description, 4000),
      ...times(row),
    })),
  )
  world.report.imported('agent_folders', sound.length)
}

/** Opened with the old server's key and sealed with ours. */
export async function bringProviderKeys(world: World, rows: SourceRows['api_keys'][]) {
  const { tx, secrets, oldKeys, report } = world
  const fresh = await ofClients(world, 'api_keys', await onlyNew(world, 'api_keys', providerKeys, rows))
  let imported = 0
  for (const { id, clientId, name, provider, encrypted_key, is_active, ...row } of fresh) {
    const key = oldKeys.map((old) => openFernet(old, encrypted_key)).find((opened) => opened !== undefined)
    if (key === undefined || key === '') {
      report.leaveOut('api_keys', id, whyNoKey(oldKeys, key))
      continue
    }
    await tx.insert(providerKeys).values({
      id,
      clientId,
      name: cut(name, MAX_NAME) || provider || 'unnamed',
      provider: cut(provider, 100) || 'openai',
      encryptedKey: await secrets.seal(tx, clientId, `api_keys:${id}`, key),
      lastFour: key.length >= 12 ? key.slice(-4) : '',
      isActive: is_active !== false,
      ...times(row),
    })
    imported += 1
  }
  report.imported('api_keys', imported)
}

function whyNoKey(oldKeys: string[], key: string | undefined): string {
  if (key === '') return 'it is empty'
  return oldKeys.length === 0 ? 'the old ENCRYPTION_KEY was not given' : 'it does not open with the old ENCRYPTION_KEY that was given'
}

export async function bringMcpServers(world: World, rows: SourceRows['mcp_servers'][]) {
  const fresh = await onlyNew(world, 'mcp_servers', mcpServers, rows)
  if (fresh.length === 0) return
  await world.tx.insert(mcpServers).values(
    fresh.map(({ config_type, tools: offered, type, ...row }) => ({
      ...catalogued(row, world.secrets, contextOfServer(row.id)),
      configType: config_type === 'sse' ? ('sse' as const) : ('studio' as const),
      tools: Array.isArray(offered) ? offered : [],
      type: type === 'community' ? ('community' as const) : ('official' as const),
    })),
  )
  world.report.imported('mcp_servers', fresh.length)
}

export async function bringTools(world: World, rows: SourceRows['tools'][]) {
  const fresh = await onlyNew(world, 'tools', tools, rows)
  if (fresh.length === 0) return
  await world.tx.insert(tools).values(fresh.map((row) => catalogued(row, world.secrets, contextOfTool(row.id))))
  world.report.imported('tools', fresh.length)
}

const catalogued = (
  { id, name, description, config_json, environments, ...row }: SourceRows['tools'],
  secrets: Secrets,
  context: string,
) => ({
  id,
  name: cut(name, MAX_NAME) || 'unnamed',
  description,
  configJson: sealConfig(secrets.platform, context, asObject(config_json)),
  environments: Object.fromEntries(Object.entries(asObject(environments)).map(([name, value]) => [name, String(value)])),
  ...times(row),
})

export async function bringAgents(world: World, rows: SourceRows['agents'][]) {
  const { tx, secrets, report } = world
  const fresh = (await ofClients(world, 'agents', await onlyNew(world, 'agents', agents, rows))).flatMap((row) => {
    const type = AGENT_TYPES.find((known) => known === row.type)
    if (type === undefined) report.leaveOut('agents', row.id, `there are no agents of type ${row.type} any more`)
    return type === undefined ? [] : [{ ...row, type }]
  })
  if (fresh.length === 0) return
  const inClient = await ownersOf(world, fresh)
  const keys = await agentKeys(world, fresh)
  for (const row of fresh) {
    const { id, clientId } = row
    const key = keys.get(id) ?? crypto.randomUUID()
    const { api_key: _, ...config } = asObject(row.config)
    const seal = (secret: string) => secrets.seal(tx, clientId, configContextOf(id), secret)
    await tx.insert(agents).values({
      ...textsOf(row),
      id,
      clientId,
      type: row.type satisfies AgentType,
      folderId: keep(world, row, 'folder', row.folder_id, inClient),
      apiKeyId: keep(world, row, 'provider key', row.api_key_id, inClient),
      config: await sealSecrets(config, {}, seal),
      keyHash: hashOf(key),
      encryptedKey: await secrets.seal(tx, clientId, `agents:${id}`, key),
      ...times(row),
    })
  }
  report.imported('agents', fresh.length)
}

type FreshAgent = Omit<SourceRows['agents'], 'type'> & { clientId: string; type: AgentType }

const textsOf = ({ name, description, role, goal, model, instruction, agent_card_url, type }: FreshAgent) => ({
  name: cut(name, MAX_NAME) || 'unnamed',
  description,
  role,
  goal,
  model: model === '' ? null : model,
  instruction,
  // Of our own agents it is computed; only a remote one has one.
  agentCardUrl: type === 'a2a' ? agent_card_url : null,
})

/** `{client}:{id}` of each folder and provider key that is there and belongs to the client: 0.1.0 did not check. */
async function ownersOf({ tx }: World, rows: FreshAgent[]): Promise<Set<string>> {
  const found = new Set<string>()
  for (const [table, ids] of [
    [folders, rows.flatMap(({ folder_id }) => folder_id ?? [])],
    [providerKeys, rows.flatMap(({ api_key_id }) => api_key_id ?? [])],
  ] as const) {
    if (ids.length === 0) continue
    const owned = await tx.select({ id: table.id, clientId: table.clientId }).from(table).where(inArray(table.id, ids))
    for (const { id, clientId } of owned) found.add(`${clientId}:${id}`)
  }
  return found
}

function keep(
  { report }: World,
  { id, clientId }: FreshAgent,
  what: string,
  reference: string | null,
  inClient: Set<string>,
): string | null {
  if (reference === null || inClient.has(`${clientId}:${reference}`)) return reference
  report.change('agents', id, `it has no ${what} any more: the one that it named is gone or another client's`)
  return null
}

/** Each agent's own key. It opens one agent only: of agents that shared one, all but the first get a new one. */
async function agentKeys({ tx, report }: World, rows: FreshAgent[]): Promise<Map<string, string>> {
  const given = rows.flatMap(({ id, config }) => {
    const { api_key: key } = asObject(config)
    return typeof key === 'string' && key !== '' ? [{ id, key, hash: hashOf(key) }] : []
  })
  const hashes = given.map(({ hash }) => hash)
  const rowsTaken = hashes.length === 0 ? [] : await tx.select({ hash: agents.keyHash }).from(agents).where(inArray(agents.keyHash, hashes))
  const taken = new Set(rowsTaken.map(({ hash }) => hash.toString('hex')))
  const keys = new Map<string, string>()
  for (const { id, key, hash } of given) {
    if (taken.has(hash.toString('hex'))) report.change('agents', id, 'it has a new key: another agent had the same one')
    else keys.set(id, key)
    taken.add(hash.toString('hex'))
  }
  return keys
}

const hashOf = (key: string) => createHash('sha256').update(key).digest()
