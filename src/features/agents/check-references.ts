import type { Db } from '~/platform/db'
import { DomainError, type FieldError, invalid } from '~/platform/errors'
import type { CheckedAgent } from './check-agent'
import { type FoundReferences, findReferences, lockReferences, MAX_REACHED } from './queries/references'
import { catalogueSupplies, type Reference, referencesOf } from './references'

/** Levels of agents within agents, the outermost included. */
const MAX_DEPTH = 10
const MAX_ERRORS = 20

/**
 * Whether all that a definition names exists, in its client or in the catalogues, and leads to no circle. One statement, and none where nothing is named.
 * Holds until the transaction ends: nobody else changes the references of the client meanwhile.
 * @throws DomainError `validation-failed`
 */
export async function checkReferences(tx: Db, { clientId, id }: { clientId: string; id: string }, agent: CheckedAgent): Promise<void> {
  const references = referencesOf(agent.type, agent.config)
  if (references.length === 0) return
  const idsOf = (kind: Reference['kind']) => [...new Set(references.filter((found) => found.kind === kind).map((found) => found.id))]
  const asked = { agentIds: idsOf('agent'), serverIds: idsOf('mcp-server'), toolIds: idsOf('tool') }
  if (asked.agentIds.length > 0) await lockReferences(tx, clientId)
  const found = await findReferences(tx, clientId, asked)
  // An agent that names itself is found below, also before it exists.
  const known = {
    agent: new Set([id, ...found.agents.map((known) => known.id)]),
    'mcp-server': new Set(found.servers.map((known) => known.id)),
    tool: new Set(found.tools.map((known) => known.id)),
  }
  refuse(
    references.filter((reference) => !known[reference.kind].has(reference.id)),
    ({ pointer, missing }) => ({ pointer, code: 'not-found', message: missing }),
  )
  checkSupplies(agent, found)
  checkNesting(id, agent, references, found)
}

/** The environment of a catalogue entry lists what each agent must supply. */
function checkSupplies({ type, config }: CheckedAgent, found: FoundReferences) {
  const supplies = catalogueSupplies(type, config)
  const missing = (['servers', 'tools'] as const).flatMap((kind) =>
    supplies[kind].flatMap(({ id, envs, pointer }) => {
      const entry = found[kind].find((known) => known.id === id)
      return Object.keys(entry?.environments ?? {})
        .filter((name) => !Object.hasOwn(envs, name))
        .map((name) => ({ name, pointer, what: `${kind === 'servers' ? 'MCP server' : 'tool'} ${entry?.name}` }))
    }),
  )
  refuse(missing, ({ name, pointer, what }) => ({
    pointer: `${pointer}/envs`,
    code: 'required',
    message: `Environment variable '${name}' not provided for ${what}`,
  }))
}

function checkNesting(id: string, agent: CheckedAgent, references: Reference[], { agents }: FoundReferences) {
  const own = references.filter(({ kind }) => kind === 'agent')
  if (own.length === 0) return
  const [{ pointer } = { pointer: '/config' }] = own
  if (agents.length > MAX_REACHED) throw invalid(pointer, 'limit', `More than ${MAX_REACHED} agents would take part`)
  const graph = new Map(agents.map((known) => [known.id, { name: known.name, targets: known.targets }]))
  graph.set(id, { name: agent.name, targets: own.map((reference) => reference.id) })
  const { cycle, depth } = survey(graph, id)
  if (cycle !== undefined)
    throw invalid(
      own.find((reference) => reference.id === cycle.next)?.pointer ?? pointer,
      'cycle',
      `Agents would call each other in a circle: ${cycle.shown}`,
    )
  if (depth > MAX_DEPTH) throw invalid(pointer, 'depth', `Agents would be nested ${depth} deep; ${MAX_DEPTH} are allowed`)
}

type Graph = Map<string, { name: string; targets: string[] }>

/** The longest way down from an agent, and the first circle met on one. */
function survey(graph: Graph, start: string): { cycle?: { shown: string; next: string }; depth: number } {
  const depths = new Map<string, number>()
  const path: string[] = []
  let cycle: { shown: string; next: string } | undefined
  const nameOf = (id: string) => graph.get(id)?.name ?? id
  const visit = (id: string): number => {
    const known = depths.get(id)
    if (known !== undefined || cycle !== undefined) return known ?? 0
    const at = path.indexOf(id)
    if (at !== -1) {
      cycle = { shown: [...path.slice(at), id].map(nameOf).join(' → '), next: path[1] ?? id }
      return 0
    }
    path.push(id)
    const below = (graph.get(id)?.targets ?? []).filter((target) => graph.has(target)).map(visit)
    path.pop()
    const depth = 1 + Math.max(0, ...below)
    depths.set(id, depth)
    return depth
  }
  const depth = visit(start)
  return { depth, ...(cycle === undefined ? {} : { cycle }) }
}

function refuse<T>(faulty: T[], toError: (fault: T) => FieldError) {
  if (faulty.length === 0) return
  const errors = faulty.slice(0, MAX_ERRORS).map(toError)
  throw new DomainError('validation-failed', errors[0]?.message ?? '', { errors })
}
