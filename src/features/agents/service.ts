import type { ToolService } from '~/features/tools/service'
import { authorize, authorizeReach, type Reach } from '~/platform/access'
import { allOf } from '~/platform/all-of'
import { type Db, sqlState } from '~/platform/db'
import type { DefinitionCache } from '~/platform/definition-cache'
import { DomainError, notFound } from '~/platform/errors'
import { checkIfMatch } from '~/platform/http/if-match'
import type { Page } from '~/platform/http/schema'
import { endOf, type Listed } from '~/platform/keyset'
import type { Outbound } from '~/platform/outbound'
import type { Principal } from '~/platform/principal'
import type { Secrets } from '~/platform/secrets'
import type { Unit, Write } from '~/platform/unit-of-work'
import { UUID_IN_ANY_CASE } from '~/platform/uuid'
import { hashKey, ownKeyOf } from './agent-key'
import { type CheckedAgent, checkAgent, type Draft } from './check-agent'
import { checkReferences } from './check-references'
import type { Config } from './config-schemas'
import { maskSecrets, openSecrets, sealSecrets } from './config-secrets'
import type { Drafts } from './drafts'
import { forgetAgent } from './forget-agent'
import { withHttpTools } from './llm-config'
import { cardOf, merge, withoutCard } from './merge-change'
import {
  type AgentFilter,
  type AgentRow,
  countAgents,
  deleteAgent,
  findAgent,
  findAgentByKey,
  insertAgent,
  listAgents,
  lockAgent,
  updateAgent,
} from './queries'
import { lockReferences } from './queries/references'
import { keepVersion } from './queries/versions'
import { catalogueSupplies } from './references'
import { refuseReference } from './refused-rows'
import type { Agent, AgentChange, NewAgent } from './schema'
import { configContextOf, createAgentView, etagOf, keyContextOf } from './view'

export type AgentService = ReturnType<typeof createAgentService>

export interface ShownAgent {
  agent: Agent
  /** Another one after each change. */
  etag: string
}

interface Fresh {
  clientId: string
  id: string
  checked: CheckedAgent
  /** Of the caller's own making. */
  key?: string | undefined
}

export function createAgentService({
  db,
  write,
  secrets,
  outbound,
  drafts,
  tools,
  definitions,
  deleteSessionsOf,
  apiUrl,
}: {
  db: Db
  write: Write
  secrets: Secrets
  outbound: Outbound
  drafts: Drafts
  tools: Pick<ToolService, 'bind'>
  definitions: DefinitionCache
  deleteSessionsOf(tx: Db, owner: { clientId: string; agentId: string }): Promise<void>
  apiUrl: string
}) {
  const owners = new Map<string, string>()

  const shownTo = createAgentView({ db, secrets, apiUrl })

  const sealerOf = (tx: Db, clientId: string, id: string) => (secret: string) => secrets.seal(tx, clientId, configContextOf(id), secret)

  /** What can be said before a transaction; a remote agent without a card is asked for it. @throws DomainError `validation-failed`, `url-not-allowed`, `not-possible` */
  const prepare = async (draft: Draft): Promise<CheckedAgent> => checkAgent(await drafts.complete(draft), outbound)

  /** An agent that was prepared and whose references were checked. */
  const insert = async ({ tx, audit, notify }: Unit, { clientId, id, checked, key = crypto.randomUUID() }: Fresh): Promise<AgentRow> => {
    const row = await insertAgent(tx, {
      ...checked,
      config: await sealSecrets(checked.config, {}, sealerOf(tx, clientId, id)),
      id,
      clientId,
      keyHash: hashKey(key),
      encryptedKey: await secrets.seal(tx, clientId, keyContextOf(id), key),
    }).catch(refuseReference)
    audit({
      action: 'create',
      resourceType: 'agent',
      resourceId: id,
      clientId,
      details: { name: row.name, type: row.type, model: row.model },
    })
    notify({ type: 'agent.changed', clientId, data: { agent_id: id, change: 'create' } })
    return row
  }

  const ownerByKey = async (id: string, key: string, { shared }: { shared: boolean }): Promise<{ clientId: string }> => {
    const owner = UUID_IN_ANY_CASE.test(id) ? await findAgentByKey(db, id, { keyHash: hashKey(key), shared }) : undefined
    if (owner === undefined) throw new DomainError('invalid-api-key', 'Invalid API key')
    return owner
  }

  const show = async (principal: Principal, row: AgentRow): Promise<ShownAgent> => ({
    agent: await shownTo(principal, row),
    etag: etagOf(row),
  })

  const rememberOwner = (id: string, clientId: string) => {
    if (owners.size >= MAX_OWNERS) owners.clear()
    owners.set(id, clientId)
  }

  /** For runs, cards and what belongs to them. Who reaches all clients learns with the first look whose mark to ask for. */
  const recall = async ({ clientId, agentId }: Reach, given: string): Promise<AgentRow | undefined> => {
    const id = given.toLowerCase()
    const owner = clientId ?? owners.get(id)
    if ((agentId ?? id) !== id) return undefined
    if (owner !== undefined) return definitions.get(owner, `agent:${id}`, () => findAgent(db, { clientId: owner, agentId: null }, id))
    const agent = await findAgent(db, { clientId, agentId }, id)
    if (agent !== undefined) rememberOwner(id, agent.client_id)
    return agent
  }

  return {
    prepare,
    insert,
    show,

    async create(principal: Principal, input: NewAgent): Promise<ShownAgent> {
      const clientId = input.client_id
      authorize(principal, 'write', { kind: 'agents', clientId })
      const { api_key, ...config } = input.config ?? {}
      const key = ownKeyOf(api_key)
      const checked = await prepare({ ...input, config: withoutCard(config) })
      // The row and not what is shown of it: an Idempotency-Key keeps this answer, which must not hold the key in clear.
      const created = await write(principal, async (unit) => {
        const id = crypto.randomUUID()
        await checkReferences(unit.tx, { clientId, id }, checked)
        return insert(unit, { clientId, id, checked, key })
      })
      return show(principal, created)
    },

    async list(principal: Principal, clientId: string, page: Page & Omit<AgentFilter, 'agentId'>): Promise<Listed<Agent>> {
      const { agentId } = authorizeReach(principal, 'read', 'agents')
      authorize(principal, 'read', { kind: 'agents', clientId, agentId })
      const filter = { ...page, agentId }
      const rows = await listAgents(db, clientId, filter)
      const total = rows[0]?.total ?? (await countAgents(db, clientId, filter))
      return { items: await allOf(rows.map((row) => shownTo(principal, row))), total, last: endOf(rows, page.limit) }
    },

    /** `clientId` narrows an admin's view to one client; anybody else may only name their own. */
    async get(principal: Principal, id: string, clientId?: string): Promise<ShownAgent> {
      const reach = authorizeReach(principal, 'read', 'agents')
      if (clientId !== undefined) authorize(principal, 'read', { kind: 'agents', clientId, agentId: reach.agentId ?? id })
      const agent = await findAgent(db, clientId === undefined ? reach : { ...reach, clientId }, id)
      if (agent === undefined) throw notFound('Agent')
      return show(principal, agent)
    },

    /**
     * Merges, then checks the whole with the rules of creation. An absent or empty `config.api_key` keeps the key. `known`: the config whose secrets the
     * masks of the new one stand for, where that is not the agent's own. @throws DomainError `precondition-failed`
     */
    async update(
      principal: Principal,
      id: string,
      change: AgentChange,
      { ifMatch, known }: { ifMatch?: string | null; known?: Config } = {},
    ): Promise<ShownAgent> {
      const reach = authorizeReach(principal, 'write', 'agents')
      const [described, clientId] = await Promise.all([drafts.describeAnew(reach, id, change), this.ownerOf(reach, id)])
      const updated = await write(principal, async ({ tx, audit, notify }) => {
        const [, before] = await Promise.all([lockReferences(tx, clientId), lockAgent(tx, reach, id)])
        if (before === undefined) throw notFound('Agent')
        checkIfMatch(ifMatch, etagOf(before))
        if (change.client_id !== undefined && change.client_id !== before.client_id)
          throw new DomainError('forbidden', 'An agent stays with its client.')
        const { api_key, ...config } = { ...cardOf(before), ...(described.config ?? maskSecrets(before.config)) }
        const checked = checkAgent(merge(before, described, config), outbound)
        await checkReferences(tx, { clientId: before.client_id, id }, checked)
        const key = ownKeyOf(api_key)
        await keepVersion(tx, before)
        const row = await updateAgent(tx, id, {
          ...checked,
          config: await sealSecrets(checked.config, known ?? before.config, sealerOf(tx, before.client_id, id)),
          ...(key === undefined
            ? {}
            : { keyHash: hashKey(key), encryptedKey: await secrets.seal(tx, before.client_id, keyContextOf(id), key) }),
        }).catch(refuseReference)
        audit({
          action: 'update',
          resourceType: 'agent',
          resourceId: id,
          clientId: row.client_id,
          details: { name: row.name, fields: Object.keys(change) },
        })
        notify({ type: 'agent.changed', clientId: row.client_id, data: { agent_id: id, change: 'update' } })
        return row
      })
      return show(principal, updated)
    },

    /** Into a folder of its client, or out of any. */
    async move(principal: Principal, clientId: string, id: string, folderId: string | null): Promise<ShownAgent> {
      const { agentId } = authorizeReach(principal, 'write', 'agents')
      authorize(principal, 'write', { kind: 'agents', clientId, agentId: agentId ?? id })
      const moved = await write(principal, async ({ tx, audit, notify }) => {
        const before = await lockAgent(tx, { clientId, agentId }, id)
        if (before === undefined) throw notFound('Agent')
        await keepVersion(tx, before)
        const row = await updateAgent(tx, id, { folderId }).catch((error: unknown) => {
          throw sqlState(error)?.code === '23503' ? notFound('Folder') : error
        })
        audit({ action: 'update', resourceType: 'agent', resourceId: id, clientId, details: { name: row.name, folder_id: folderId } })
        notify({ type: 'agent.changed', clientId, data: { agent_id: id, change: 'update' } })
        return row
      })
      return show(principal, moved)
    },

    /** With its sessions, and out of the agents that name it. @throws DomainError `precondition-failed`, `conflict` */
    remove(principal: Principal, id: string, { ifMatch }: { ifMatch?: string | null } = {}): Promise<void> {
      const reach = authorizeReach(principal, 'write', 'agents')
      return write(principal, async (unit) => {
        const { tx, audit, notify } = unit
        const check = (agent: AgentRow | undefined): AgentRow => {
          if (agent === undefined) throw notFound('Agent')
          if (ifMatch) checkIfMatch(ifMatch, etagOf(agent))
          return agent
        }
        const { client_id: clientId } = check(await findAgent(tx, reach, id))
        // Before anything is locked that others of the client wait for: they may be many. Those that begin meanwhile go with the agent.
        await deleteSessionsOf(tx, { clientId, agentId: id })
        const [, locked] = await Promise.all([lockReferences(tx, clientId), lockAgent(tx, reach, id)])
        const { name } = check(locked)
        await deleteAgent(tx, id)
        audit({ action: 'delete', resourceType: 'agent', resourceId: id, clientId, details: { name } })
        notify({ type: 'agent.changed', clientId, data: { agent_id: id, change: 'delete' } })
        await forgetAgent(unit, { clientId, id })
      })
    },

    /** The client that an agent's own key belongs to. @throws DomainError `invalid-api-key`, also for an agent that does not exist. */
    openWithKey: (id: string, key: string) => ownerByKey(id, key, { shared: false }),

    /** The same for who only wants to talk to it: the key of a share link will do. */
    openChatWithKey: (id: string, key: string) => ownerByKey(id, key, { shared: true }),

    /** The same with its secrets open and the tools that it has chosen from the catalogue among its own: for one run. */
    async load(reach: Reach, id: string): Promise<AgentRow> {
      const row = await this.find(reach, id)
      const open = async (sealed: string) => secrets.open(db, row.client_id, configContextOf(id), sealed)
      const config = await openSecrets(row.config, open)
      const chosen = row.type === 'llm' ? catalogueSupplies(row.type, config).tools : []
      return { ...row, config: chosen.length === 0 ? config : withHttpTools(config, await tools.bind(chosen)) }
    },

    /** The row itself, for those who and have asked for the right to. @throws DomainError `not-found` */
    async find(reach: Reach, id: string): Promise<AgentRow> {
      const agent = await recall(reach, id)
      if (agent === undefined) throw notFound('Agent')
      return agent
    },

    /**
     * The client of an agent, remembered because it never changes. Whether the agent still exists is told by the foreign key of what is made for it.
     * @throws DomainError `not-found`
     */
    async ownerOf(reach: Reach, id: string): Promise<string> {
      const known = owners.get(id)
      if (known !== undefined && (reach.clientId ?? known) === known && (reach.agentId ?? id) === id) return known
      const { client_id: owner } = await this.find(reach, id)
      rememberOwner(id, owner)
      return owner
    },

    /** The same where it is remembered: for whoever has no rights to show yet, and shows nothing of it. */
    knownOwner: (id: string): string | undefined => owners.get(id),
  }
}

const MAX_OWNERS = 10_000
