import type { Db } from '~/platform/db'
import { DomainError, type FieldError } from '~/platform/errors'
import type { CheckedAgent } from './check-agent'
import { type FoundReferences, findReferences, lockReferences, MAX_REACHED } from './queries/references'
import { catalogueSupplies, type Reference, referencesOf } from './references'

/** Levels of agents within agents, the outermost included. */
const MAX_DEPTH = 10
const MAX_ERRORS = 20

type Named = Pick<CheckedAgent, 'type' | 'name' | 'config'>

interface Owner {
  clientId: string
  id: string
}

/**
 * Whether all that a definition names exists, in its client or in the catalogues, and leads to no circle. One statement, and none where nothing is named.
 * Holds until the transaction ends: nobody else changes the references of the client meanwhile.
 * @throws DomainError `validation-failed`
 */
export async function checkReferences(tx: Db, owner: Owner, agent: Named): Promise<void> {
  const references = referencesOf(agent.type, agent.config)
  if (references.some(({ kind }) => kind === 'agent')) await lockReferences(tx, owner.clientId)
  const errors = await faultsAmong(references, tx, owner, agent)
  if (errors.length > 0) throw new DomainError('validation-failed', errors[0]?.message ?? '', { errors })
}

/** The same as a list, true for the moment. */
export const referenceFaults = (db: Db, owner: Owner, agent: Named): Promise<FieldError[]> =>
  faultsAmong(referencesOf(agent.type, agent.config), db, owner, agent)

async function faultsAmong(references: Reference[], db: Db, { clientId, id }: Owner, agent: Named): Promise<FieldError[]> {
  if (references.length === 0) return []
  const idsOf = (kind: Reference['kind']) => [...new Set(references.filter((found) => found.kind === kind).map((found) => found.id))]
  const found = await findReferences(db, clientId, { agentIds: idsOf('agent'), serverIds: idsOf('mcp-server'), toolIds: idsOf('tool') })
  // An agent that names itself is found below, also before it exists.
  const known = {
    agent: new Set([id, ...found.agents.map((known) => known.id)]),
    'mcp-server': new Set(found.servers.map((known) => known.id)),
    tool: new Set(found.tools.map((known) => known.id)),
  }
  const missing = references.filter((reference) => !known[reference.kind].has(reference.id))
  return [
    ...missing.map(({ pointer, missing: message }) => ({ pointer, code: 'not-found', message })),
    ...supplyFaults(agent, found),
    ...nestingFaults(id, agent, references, found),
  ].slice(0, MAX_ERRORS)
}

/** The environment of a catalogue entry lists what each agent must supply. */
function supplyFaults({ type, config }: Named, found: FoundReferences): FieldError[] {
  const supplies = catalogueSupplies(type, config)
  return (['servers', 'tools'] as const).flatMap((kind) =>
    supplies[kind].flatMap(({ id, envs, pointer }) => {
      const entry = found[kind].find((known) => known.id === id)
      const what = `${kind === 'servers' ? 'MCP server' : 'tool'} ${entry?.name}`
      return Object.keys(entry?.environments ?? {})
        .filter((name) => !Object.hasOwn(envs, name))
        .map((name) => ({
          pointer: `${pointer}/envs`,
          code: 'required',
          message: `Environment variable '${name}' not provided for ${what}`,
        }))
    }),
  )
}

function nestingFaults(id: string, agent: Named, references: Reference[], { agents }: FoundReferences): FieldError[] {
  const own = references.filter(({ kind }) => kind === 'agent')
  if (own.length === 0) return []
  const [{ pointer } = { pointer: '/config' }] = own
  if (agents.length > MAX_REACHED) return [{ pointer, code: 'limit', message: `More than ${MAX_REACHED} agents would take part` }]
  const graph = new Map(agents.map((known) => [known.id, { name: known.name, targets: known.targets }]))
  graph.set(id, { name: agent.name, targets: own.map((reference) => reference.id) })
  const { cycle, depth } = survey(graph, id)
  if (cycle !== undefined)
    return [
      {
        pointer: own.find((reference) => reference.id === cycle.next)?.pointer ?? pointer,
        code: 'cycle',
        message: `Agents would call each other in a circle: ${cycle.shown}`,
      },
    ]
  return depth > MAX_DEPTH ? [{ pointer, code: 'depth', message: `Agents would be nested ${depth} deep; ${MAX_DEPTH} are allowed` }] : []
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
