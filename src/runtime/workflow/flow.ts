import { DomainError } from '~/platform/errors'
import type { WorkflowEdge } from './graph'

/** How often one edge may be gone along: what goes round in a circle ends there. */
const MAX_PASSES = 10
/** Of one workflow, all branches together. */
const MAX_VISITS = 1000

/** Where one branch of a workflow stands, and what its conditions can ask about. */
export interface Flow {
  /** What an agent or a message said last: the user's words before any has. */
  content: string
  status: string
  cycleCount: number
  nodeOutputs: Record<string, string>
  /** The node to go on with; undefined when the branch has come to its end. */
  at: string | undefined
  passes: Map<WorkflowEdge, number>
  visits: { count: number }
}

export const beginFlow = (asked: string): Flow => ({
  content: asked,
  status: 'started',
  cycleCount: 0,
  nodeOutputs: {},
  at: undefined,
  passes: new Map(),
  visits: { count: 0 },
})

export const fork = (flow: Flow): Flow => ({ ...flow, at: undefined, nodeOutputs: { ...flow.nodeOutputs }, passes: new Map(flow.passes) })

/** After a fan-out: the outputs of all branches, and the last word of the last branch that came to the join. */
export function join(flow: Flow, branches: Flow[]): void {
  const arrived = branches.filter(({ at }) => at !== undefined)
  const last = arrived.at(-1) ?? branches.at(-1)
  if (last === undefined) return
  for (const branch of branches) {
    Object.assign(flow.nodeOutputs, branch.nodeOutputs)
    flow.cycleCount = Math.max(flow.cycleCount, branch.cycleCount)
    for (const [edge, count] of branch.passes) flow.passes.set(edge, Math.max(count, flow.passes.get(edge) ?? 0))
  }
  flow.content = last.content
  flow.status = last.status
}

/** @throws DomainError `limit-exceeded` */
export function countVisit({ visits }: Flow): void {
  visits.count += 1
  if (visits.count > MAX_VISITS) throw new DomainError('limit-exceeded', `The workflow went through more than ${MAX_VISITS} nodes.`)
}

/** Those of the edges that may be gone along once more. */
export function passable(flow: Flow, edges: WorkflowEdge[]): WorkflowEdge[] {
  return edges.filter((edge) => {
    const passes = flow.passes.get(edge) ?? 0
    flow.passes.set(edge, passes + 1)
    return passes < MAX_PASSES
  })
}

/** @returns the state that conditions name */
export function fieldOf(
  { content, status, cycleCount, nodeOutputs }: Flow,
  field: string,
  more: { sessionId: string; said: string[] },
): unknown {
  switch (field) {
    case 'content':
      return content
    case 'status':
      return status
    case 'cycle_count':
      return cycleCount
    case 'node_outputs':
      return nodeOutputs
    case 'session_id':
      return more.sessionId
    case 'conversation_history':
      return more.said
    default:
      return Object.hasOwn(nodeOutputs, field) ? nodeOutputs[field] : undefined
  }
}
