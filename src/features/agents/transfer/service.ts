import type { FolderService } from '~/features/folders/service'
import { authorize, authorizeReach } from '~/platform/access'
import type { Db } from '~/platform/db'
import { DomainError, type FieldError, invalid } from '~/platform/errors'
import { parseJson } from '~/platform/http/json-body'
import type { Page } from '~/platform/http/schema'
import type { Principal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import { UUID } from '~/platform/uuid'
import type { CheckedAgent, Draft } from '../check-agent'
import { checkReferences } from '../check-references'
import type { Config } from '../config-schemas'
import { blankSecrets, maskAddresses } from '../config-secrets'
import type { AgentRow } from '../queries'
import { findReferences, MAX_REACHED } from '../queries/references'
import { referencesOf } from '../references'
import type { Agent } from '../schema'
import type { AgentService } from '../service'
import { type Entry, readEntries, refusedFile, withNewIds } from './file'
import type { ExportedAgent, ImportRequest } from './schema'

export type AgentTransferService = ReturnType<typeof createAgentTransferService>

interface Deps {
  db: Db
  write: Write
  agents: AgentService
  folders: Pick<FolderService, 'get'>
}

const CARD_SUFFIX = '/.well-known/agent.json'

/** Agents to and from files, without secrets. */
export function createAgentTransferService({ db, write, agents, folders }: Deps) {
  /** All or nothing: whose file has one fault reads of it, and nothing is left behind. */
  const importEntries = async (principal: Principal, clientId: string, entries: Entry[], folderId: string | null): Promise<Agent[]> => {
    const known = await existing(clientId, entries)
    const fresh = entries.filter(({ fileId, embedded }) => !embedded || !known.has(fileId))
    const newIds = new Map(fresh.map(({ fileId }) => [fileId, crypto.randomUUID() as string]))
    const prepared = await prepareAll(clientId, fresh, newIds, folderId)
    const rows = await write(principal, async (unit) => {
      const made = new Map<string, AgentRow>()
      for (const { entry, id, checked } of inOrder(prepared)) {
        const row = await at(entry, async () => {
          await checkReferences(unit.tx, { clientId, id }, checked)
          return agents.insert(unit, { clientId, id, checked })
        })
        made.set(entry.fileId, row)
      }
      unit.audit({ action: 'import', resourceType: 'agent', resourceId: null, clientId, details: { agents: made.size } })
      return fresh.flatMap(({ fileId }) => made.get(fileId) ?? [])
    })
    return Promise.all(rows.map(async (row) => (await agents.show(principal, row)).agent))
  }

  /** Copies within others may be of agents that this client has. */
  const existing = async (clientId: string, entries: Entry[]): Promise<Set<string>> => {
    const agentIds = entries.filter(({ fileId, embedded }) => embedded && UUID.test(fileId)).map(({ fileId }) => fileId)
    if (agentIds.length === 0) return new Set()
    const found = await findReferences(db, clientId, { agentIds, serverIds: [], toolIds: [] })
    return new Set(found.agents.map(({ id }) => id))
  }

  const prepareAll = async (clientId: string, fresh: Entry[], newIds: Map<string, string>, folderId: string | null) => {
    const errors: FieldError[] = []
    const prepared: Prepared[] = []
    for (const entry of fresh) {
      if (entry.clientId !== undefined && entry.clientId.toLowerCase() !== clientId.toLowerCase())
        throw new DomainError('forbidden', 'Access denied to access resources of this client')
      const draft = withNewIds(entry.draft, newIds)
      try {
        const checked = await at(entry, () => agents.prepare({ ...addressed(draft), folder_id: draft.folder_id ?? folderId }))
        prepared.push({ entry, id: newIds.get(entry.fileId) ?? '', checked })
      } catch (error) {
        if (!(error instanceof DomainError && error.errors)) throw error
        errors.push(...error.errors)
      }
    }
    if (errors.length > 0) throw refusedFile(errors)
    return prepared
  }

  return {
    /** A client's agents, in the form that import reads. */
    async exportAll(
      principal: Principal,
      clientId: string,
      page: Page & { folderId?: string | undefined },
    ): Promise<{ agents: ExportedAgent[]; total: number }> {
      const { items, total } = await agents.list(principal, clientId, { ...page, sortBy: 'name', descending: false })
      return { agents: items.map(exported), total }
    },

    /** One agent, first, and all that it leads to. */
    async exportOne(principal: Principal, id: string): Promise<{ agents: ExportedAgent[] }> {
      const reach = authorizeReach(principal, 'read', 'agents')
      const root = await agents.find(reach, id)
      const found = await findReferences(db, root.client_id, {
        agentIds: referencesOf(root.type, root.config).flatMap((reference) =>
          reference.kind === 'agent' && UUID.test(reference.id) ? reference.id : [],
        ),
        serverIds: [],
        toolIds: [],
      })
      if (found.agents.length > MAX_REACHED) throw invalid('/path/agent_id', 'limit', 'Too many agents take part to be exported at once')
      const others = await Promise.all(found.agents.filter((agent) => agent.id !== root.id).map((agent) => agents.find(reach, agent.id)))
      const shown = await Promise.all([root, ...others].map((row) => agents.show(principal, row)))
      return { agents: shown.map(({ agent }) => exported(agent)) }
    },

    async import(principal: Principal, clientId: string, { file, agents: listed, folder_id }: ImportRequest): Promise<Agent[]> {
      authorize(principal, 'write', { kind: 'agents', clientId })
      const folderId = await folderOf(principal, clientId, folder_id)
      if (file === undefined && listed === undefined)
        throw invalid('/file', 'required', 'Send the agents in a file, or as JSON in `agents`')
      return importEntries(principal, clientId, readEntries(file === undefined ? { agents: listed } : parse(file)), folderId)
    },
  }

  async function folderOf(principal: Principal, clientId: string, folderId: string | null | undefined): Promise<string | null> {
    if (!folderId) return null
    if (!UUID.test(folderId.toLowerCase())) throw new DomainError('not-possible', 'Invalid folder ID format')
    return (await folders.get(principal, clientId, folderId)).id
  }
}

interface Prepared {
  entry: Entry
  id: string
  checked: CheckedAgent
}

/** Those that others name come first. @throws DomainError `validation-failed` where they name each other in a circle */
function inOrder(prepared: Prepared[]): Prepared[] {
  const waiting = new Map(prepared.map((agent) => [agent.id, agent]))
  const ordered: Prepared[] = []
  const isReady = ({ id, checked }: Prepared) =>
    referencesOf(checked.type, checked.config).every((reference) => reference.id === id || !waiting.has(reference.id))
  while (waiting.size > 0) {
    const ready = [...waiting.values()].filter(isReady)
    const [stuck] = waiting.values()
    if (ready.length === 0)
      throw refusedFile([
        { pointer: stuck?.entry.pointer ?? '', code: 'cycle', message: 'Agents of the file would call each other in a circle' },
      ])
    for (const agent of ready) waiting.delete(agent.id)
    ordered.push(...ready)
  }
  return ordered
}

/** Faults are told by where they stand in the file. */
async function at<T>({ pointer }: Entry, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof DomainError) || error.problem === 'forbidden' || error.problem.startsWith('dependency')) throw error
    const faults = error.errors ?? [{ pointer: '', code: error.problem, message: error.message }]
    throw refusedFile(faults.map((fault) => ({ ...fault, pointer: `${pointer}${fault.pointer}` })))
  }
}

/** The web frontend leaves out where a remote agent's card is: its card knows. */
function addressed(draft: Draft): Draft {
  const { url } = Object(draft.config.agent_card) as { url?: unknown }
  if (draft.type !== 'a2a' || draft.agent_card_url || typeof url !== 'string') return draft
  return { ...draft, agent_card_url: `${url.replace(/\/$/, '')}${CARD_SUFFIX}` }
}

function exported({ id, name, description, role, goal, type, model, instruction, agent_card_url, config }: Agent): ExportedAgent {
  const { api_key: _, ...rest } = config
  return {
    id,
    name,
    description,
    role,
    goal,
    type,
    model,
    instruction,
    // A file leaves the house.
    ...(type === 'a2a' ? { agent_card_url: maskAddresses(agent_card_url, '') } : {}),
    config: maskAddresses(withoutCopies(blankSecrets(rest)), ''),
  }
}

/** The nodes of a workflow hold copies of agents: the file has those themselves, or their ids are known where it goes. */
function withoutCopies(config: Config): Config {
  const { workflow } = config as { workflow?: { nodes?: unknown } | null }
  if (!workflow || !Array.isArray(workflow.nodes)) return config
  const nodes = workflow.nodes.map((node) => {
    const { data } = Object(node) as { data?: { agent?: { id?: unknown; name?: unknown } | null } | null }
    return data?.agent ? { ...Object(node), data: { ...data, agent: { id: data.agent.id, name: data.agent.name } } } : node
  })
  return { ...config, workflow: { ...workflow, nodes } }
}

function parse({ name, text }: { name: string; text: string }): unknown {
  if (!name.toLowerCase().endsWith('.json')) throw new DomainError('not-possible', 'Only JSON files are supported')
  try {
    return parseJson(Buffer.from(text, 'utf8'))
  } catch (error) {
    if (error instanceof DomainError && error.problem === 'malformed-request')
      throw new DomainError('malformed-request', 'Invalid JSON format', { cause: error })
    throw error
  }
}
