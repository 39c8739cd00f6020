import { TypeCompiler } from '@sinclair/typebox/compiler'
import { DomainError, type FieldError, invalid, sentenceOf } from '~/platform/errors'
import { toFieldErrors } from '~/platform/http/field-errors'
import type { Draft } from '../check-agent'
import type { Config } from '../config-schemas'
import { forgetMasks } from '../config-secrets'
import { ImportedAgent } from '../schema'

/** Agents of one file, the ones embedded in others included. */
const MAX_AGENTS = 500

/** One agent of a file. */
export interface Entry {
  /** By which others in the file name it. */
  fileId: string
  /** Where it stands in the file. */
  pointer: string
  /** Only a copy within another agent: one that the client has already is used instead. */
  embedded: boolean
  draft: Draft
  clientId: string | undefined
}

const compiled = TypeCompiler.Compile(ImportedAgent)

/**
 * The agents of an export, ours or the web frontend's: one, or a list under `agents`. Copies of agents within others are entries of their own, and named by
 * their ids where they stood. @throws DomainError `malformed-request`, `validation-failed`
 */
export function readEntries(file: unknown): Entry[] {
  const listed = file !== null && typeof file === 'object' && 'agents' in file ? file.agents : file
  if (listed !== file && !Array.isArray(listed))
    throw new DomainError('malformed-request', "The 'agents' field must contain a list of agent definitions")
  const items = Array.isArray(listed) ? listed : [listed]
  const own = items.map((item, index) => [item, items === listed ? `/agents/${index}` : ''] as const)
  const top = new Set(own.map(([item]) => idOf(item)))
  const entries = new Map<string, Entry>()
  const errors: FieldError[] = []

  const add = (item: unknown, pointer: string, embedded: boolean): string => {
    const fileId = idOf(item) ?? crypto.randomUUID()
    if (entries.has(fileId)) {
      if (!embedded) errors.push({ pointer: `${pointer}/id`, code: 'duplicate', message: 'Another agent of the file has this id' })
      return fileId
    }
    if (entries.size >= MAX_AGENTS) throw invalid(pointer, 'length', `A file holds at most ${MAX_AGENTS} agents`)
    const faults = toFieldErrors(compiled.Errors(item), pointer).slice(0, 5)
    errors.push(...faults)
    if (faults.length > 0 || !compiled.Check(item)) return fileId
    const { client_id: clientId, config, name, ...rest } = item
    const draft = { ...pick(rest), name: name ?? null, config: {} as Config }
    entries.set(fileId, { fileId, pointer, embedded, draft, clientId })
    draft.config = referring(withoutKey(config ?? {}), `${pointer}/config`)
    return fileId
  }

  /** A copy that says what it is becomes an entry, unless it is one already; of any other only the id counts. */
  const idIn = (value: unknown, pointer: string): unknown => {
    const id = idOf(value)
    if (value === null || typeof value !== 'object') return value
    return id !== undefined && (top.has(id) || !('type' in value)) ? id : add(value, pointer, true)
  }

  const referring = (config: Config, pointer: string): Config => {
    const ids = (key: 'sub_agents' | 'agent_tools') =>
      Array.isArray(config[key]) ? { [key]: config[key].map((item, index) => idIn(item, `${pointer}/${key}/${index}`)) } : {}
    const { tasks, workflow } = config as { tasks?: unknown; workflow?: { nodes?: unknown } | null }
    return forgetMasks({
      ...config,
      ...ids('sub_agents'),
      ...ids('agent_tools'),
      ...(Array.isArray(tasks) ? { tasks: tasks.map((task, index) => taskOf(task, `${pointer}/tasks/${index}`)) } : {}),
      ...(workflow && Array.isArray(workflow.nodes)
        ? { workflow: { ...workflow, nodes: workflow.nodes.map((node, index) => nodeOf(node, `${pointer}/workflow/nodes/${index}`)) } }
        : {}),
    })
  }

  /** The web frontend puts a copy of the agent beside its id. */
  const taskOf = (task: unknown, pointer: string): unknown => {
    if (task === null || typeof task !== 'object' || !('agent' in task)) return task
    const { agent, ...rest } = task
    const id = idIn(agent, `${pointer}/agent`)
    return typeof id === 'string' ? { ...rest, agent_id: id } : rest
  }

  const nodeOf = (node: unknown, pointer: string): unknown => {
    const { data } = Object(node) as { data?: { agent?: unknown } }
    if (data === null || typeof data !== 'object' || data.agent === null || typeof data.agent !== 'object') return node
    const id = idIn(data.agent, `${pointer}/data/agent`)
    return typeof id === 'string' ? { ...Object(node), data: { ...data, agent: { ...data.agent, id } } } : node
  }

  for (const [item, pointer] of own) add(item, pointer, false)
  if (errors.length > 0) throw refusedFile(errors)
  return [...entries.values()]
}

export const refusedFile = (errors: FieldError[]) =>
  new DomainError('validation-failed', `Failed to import any agents: ${errors.map((error) => sentenceOf(error))[0]}`, {
    errors: errors.slice(0, 20),
  })

function idOf(item: unknown): string | undefined {
  const id = typeof item === 'string' ? item : (Object(item) as { id?: unknown }).id
  return typeof id === 'string' && id !== '' ? id.toLowerCase() : undefined
}

/** The new agent has a key of its own. */
const withoutKey = ({ api_key: _, ...config }: Config): Config => config

const pick = ({
  type,
  description,
  role,
  goal,
  model,
  instruction,
  agent_card_url,
  api_key_id,
  folder_id,
}: Omit<ImportedAgent, 'config' | 'name'>) => ({
  type,
  description: description ?? null,
  role: role ?? null,
  goal: goal ?? null,
  model: model ?? null,
  instruction: instruction ?? null,
  agent_card_url: agent_card_url ?? null,
  api_key_id: api_key_id ?? null,
  folder_id: folder_id ?? null,
})

/** The draft with each id that the file knows replaced by what it is here. */
export function withNewIds(draft: Draft, newIdOf: ReadonlyMap<string, string>): Draft {
  const mapped = (id: unknown) => (typeof id === 'string' ? (newIdOf.get(id.toLowerCase()) ?? id) : id)
  const { sub_agents, agent_tools, tasks, workflow } = draft.config as {
    sub_agents?: unknown
    agent_tools?: unknown
    tasks?: unknown
    workflow?: { nodes?: unknown } | null
  }
  const agentOf = (node: unknown) => {
    const { data } = Object(node) as { data?: { agent?: { id?: unknown } | null } | null }
    return data?.agent ? { ...Object(node), data: { ...data, agent: { ...data.agent, id: mapped(data.agent.id) } } } : node
  }
  const config = {
    ...draft.config,
    ...(Array.isArray(sub_agents) ? { sub_agents: sub_agents.map(mapped) } : {}),
    ...(Array.isArray(agent_tools) ? { agent_tools: agent_tools.map(mapped) } : {}),
    ...(Array.isArray(tasks) ? { tasks: tasks.map((task) => ({ ...Object(task), agent_id: mapped(Object(task).agent_id) })) } : {}),
    ...(workflow && Array.isArray(workflow.nodes) ? { workflow: { ...workflow, nodes: workflow.nodes.map(agentOf) } } : {}),
  }
  return { ...draft, config }
}
