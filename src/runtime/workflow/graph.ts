import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { DomainError } from '~/platform/errors'

const orNull = <T extends Parameters<typeof Type.Optional>[0]>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))

const Condition = Type.Object({
  id: Type.String(),
  data: Type.Object({ field: Type.String(), operator: Type.String(), value: Type.Optional(Type.Unknown()) }),
})
const Node = Type.Object({
  id: Type.String(),
  type: Type.Optional(Type.String()),
  data: orNull(
    Type.Object({
      label: orNull(Type.String()),
      agent: orNull(Type.Object({ id: Type.String() })),
      message: orNull(Type.Object({ content: orNull(Type.String()) })),
      delay: orNull(Type.Object({ value: Type.Union([Type.Number(), Type.String()]), unit: orNull(Type.String()) })),
      conditions: orNull(Type.Array(Condition)),
      /** Seconds that the node may take. */
      timeout: orNull(Type.Number()),
    }),
  ),
})
const Edge = Type.Object({ source: Type.String(), target: Type.String(), sourceHandle: orNull(Type.String()) })
const Graph = Type.Object({ nodes: Type.Array(Node), edges: Type.Array(Edge) })

export type Condition = Static<typeof Condition>
export type WorkflowNode = Static<typeof Node>
export type WorkflowEdge = Static<typeof Edge>

/** The part of React-Flow's JSON that says what happens; the rest is about how it looks. */
export interface WorkflowGraph {
  start: WorkflowNode
  find(id: string): WorkflowNode | undefined
  /** All edges of the handle that the node is left by: `handle`, where it has one, else the usual ones in their order. */
  edgesFrom(node: WorkflowNode, handle?: string): WorkflowEdge[]
  /** Where branches that begin at these nodes come together: the nearest node that all of them can reach. */
  joinOf(targets: string[]): string | undefined
}

const USUAL_HANDLES = ['default', 'bottom-handle']

/** @throws DomainError `validation-failed` */
export function readGraph(workflow: unknown): WorkflowGraph {
  if (!Value.Check(Graph, workflow)) throw unreadable('The workflow cannot be read: nodes and edges are expected.')
  const { nodes, edges } = workflow
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const bySource = Map.groupBy(edges, ({ source }) => source)
  const start = nodes.find(({ type }) => type === 'start-node') ?? nodes[0]
  if (start === undefined) throw unreadable('The workflow has no nodes.')

  /** Distance from `from` to each node that it can reach, itself included. */
  const distances = (from: string): Map<string, number> => {
    const found = new Map([[from, 0]])
    for (const [id, distance] of found)
      for (const { target } of bySource.get(id) ?? []) if (!found.has(target)) found.set(target, distance + 1)
    return found
  }

  return {
    start,
    find: (id) => byId.get(id),
    edgesFrom({ id }, handle) {
      const own = bySource.get(id) ?? []
      const by = (name: string | null | undefined) => own.filter(({ sourceHandle }) => (sourceHandle ?? null) === (name ?? null))
      if (handle !== undefined) return by(handle)
      for (const name of USUAL_HANDLES) if (by(name).length > 0) return by(name)
      return own[0] === undefined ? [] : by(own[0].sourceHandle)
    },
    joinOf(targets) {
      const [first = new Map<string, number>(), ...others] = targets.map(distances)
      const common = [...first].flatMap(([id, distance]) => {
        const all = [distance, ...others.map((other) => other.get(id) ?? Number.POSITIVE_INFINITY)]
        return all.every(Number.isFinite) ? [{ id, farthest: Math.max(...all) }] : []
      })
      return common.toSorted((a, b) => a.farthest - b.farthest)[0]?.id
    },
  }
}

const unreadable = (detail: string) =>
  new DomainError('validation-failed', detail, { errors: [{ pointer: '/config/workflow', code: 'invalid', message: detail }] })
