import { MAX_TIMER_MS } from '~/platform/clock'
import { DomainError } from '~/platform/errors'
import { textOf } from '../conversation'
import type { LoadMember, Member } from '../member'
import { inBranches } from '../parallel-agent'
import { isPause } from '../pause'
import type { Agent, AgentEvent, RunContext, SaidEvent } from '../types'
import { evaluate } from './condition'
import { beginFlow, countVisit, type Flow, fieldOf, fork, join, passable } from './flow'
import { readGraph, type WorkflowEdge, type WorkflowGraph, type WorkflowNode } from './graph'

export interface Workflow {
  name: string
  /** React-Flow's JSON. */
  workflow: unknown
  /** Seconds that a node may take which says nothing itself. */
  timeoutSeconds: number
  subAgents: Member[]
}

interface Deps {
  loadMember: LoadMember
}

/** Goes through a graph of nodes, then runs the sub-agents. */
export function workflowAgent(agent: Workflow, deps: Deps): Agent {
  return async function* run(context) {
    try {
      const graph = readGraph(agent.workflow)
      yield* walk({ agent, deps, graph }, { context, flow: beginFlow(context.input.text), from: graph.start.id, stops: new Set() })
    } catch (error) {
      if (isPause(error) || context.signal.aborted || !(error instanceof DomainError)) throw error
      yield context.event(says(`workflow-error:${agent.name}`, `Error executing the workflow agent: ${error.message}`))
      throw error
    }
    for (const [index, member] of agent.subAgents.entries()) yield* member.run(context.nested(`sub${index}`))
  }
}

interface Whole {
  agent: Workflow
  deps: Deps
  graph: WorkflowGraph
}

/** From one node on, until the way ends or reaches a node of `stops`, where other branches come to as well. `flow.at` says which. */
async function* walk(
  whole: Whole,
  { context, flow, from, stops }: { context: RunContext; flow: Flow; from: string; stops: ReadonlySet<string> },
): AsyncGenerator<SaidEvent, void> {
  const { graph } = whole
  let at: string | undefined = from
  for (let visit = 0; at !== undefined && !stops.has(at); visit++) {
    countVisit(flow)
    const node = graph.find(at)
    if (node === undefined) break
    const handle = yield* visitNode(whole, { node, flow, context: context.nested(`n${visit}`) })
    const edges = graph.edgesFrom(node, handle)
    const open = passable(flow, edges)
    if (open.length === 0 && edges.length > 0) {
      flow.status = 'cycle_limit_reached'
      yield context.event(says(`workflow-node:${node.id}`, 'Cycle limit reached'))
    }
    if (open.length < 2) at = open[0]?.target
    else at = yield* fanOut(whole, { context: context.nested(`f${visit}`), flow, edges: open, stops })
  }
  flow.at = at
}

/** Several edges of one handle: all of them at once, up to the node where they come together. Returns where to go on. */
async function* fanOut(
  whole: Whole,
  { context, flow, edges, stops }: { context: RunContext; flow: Flow; edges: WorkflowEdge[]; stops: ReadonlySet<string> },
): AsyncGenerator<SaidEvent, string | undefined> {
  const meeting = whole.graph.joinOf(edges.map(({ target }) => target))
  const upTo = meeting === undefined ? stops : new Set([...stops, meeting])
  const flows = edges.map(() => fork(flow))
  yield* inBranches(
    context,
    edges.map(({ target }, index) => ({
      segment: `b${index}`,
      branch: `${whole.agent.name}.${index}`,
      run: (part) => walk(whole, { context: part, flow: flows[index] as Flow, from: target, stops: upTo }),
    })),
  )
  join(flow, flows)
  return flows.find(({ at }) => at !== undefined && at === meeting)?.at ?? flows.find(({ at }) => at !== undefined)?.at
}

/** What the node does. Returns the handle that it is left by, where the node decides that. */
async function* visitNode(
  whole: Whole,
  { node, flow, context }: { node: WorkflowNode; flow: Flow; context: RunContext },
): AsyncGenerator<SaidEvent, string | undefined> {
  const author = `workflow-node:${node.id}`
  switch (node.type) {
    case 'start-node':
      yield context.event({ ...says(author, 'Workflow started'), actions: NO_ANSWER })
      return undefined
    case 'agent-node':
      yield* runAgent(whole, { node, flow, context, author })
      return undefined
    case 'message-node': {
      const text = node.data?.message?.content ?? ''
      yield context.event(says(author, text))
      keep(flow, node, text, 'message_added')
      return undefined
    }
    case 'delay-node':
      await context.sleep('delay', delayOf(node))
      flow.status = 'delay_completed'
      return undefined
    case 'condition-node': {
      const { report, handle } = decide(node, flow, context)
      flow.status = 'condition_evaluated'
      yield context.event({ ...says(author, report), actions: NO_ANSWER })
      return handle
    }
    default:
      return undefined
  }
}

async function* runAgent(
  { agent, deps }: Whole,
  { node, flow, context, author }: { node: WorkflowNode; flow: Flow; context: RunContext; author: string },
): AsyncGenerator<SaidEvent, void> {
  const id = node.data?.agent?.id
  const member = id === undefined ? undefined : await deps.loadMember(id).catch(unlessGone)
  flow.cycleCount += 1
  if (member === undefined) {
    yield context.event(says(author, 'Agent not found'))
    return keep(flow, node, 'Agent not found', 'error')
  }
  if (member.requiresApproval) {
    const decision = await context.approval('approval', { tool: member.name, agent: agent.name, args: {} })
    if (!decision.approved) {
      yield context.event(says(author, `Not allowed: ${decision.reason}`))
      return keep(flow, node, 'Not allowed', 'error')
    }
  }
  const seconds = node.data?.timeout ?? agent.timeoutSeconds
  const over = new AbortController()
  const tooLong = () =>
    over.abort(new DomainError('upstream-timeout', `The node ${node.data?.label ?? node.id} took longer than ${seconds} seconds.`))
  const timer = setTimeout(tooLong, Math.min(seconds * 1000, MAX_TIMER_MS))
  try {
    let said = ''
    const part = context.nested('agent', { signal: AbortSignal.any([context.signal, over.signal]) })
    for await (const event of member.run(part)) {
      yield { ...event, author }
      said = textOf(event) || said
    }
    keep(flow, node, said, 'processed_by_agent')
  } finally {
    clearTimeout(timer)
  }
}

function decide(node: WorkflowNode, flow: Flow, { sessionId, turn }: RunContext): { report: string; handle: string } {
  const said = turn.map((event) => `${event.author}: ${textOf(event)}`)
  const results = evaluate(node.data?.conditions ?? [], (field) => fieldOf(flow, field, { sessionId, said }))
  const met = results.find((result) => result.met)
  const lines = results.map(
    ({ condition: { data }, met }) => `- ${data.field} ${data.operator} '${String(data.value ?? '')}': ${met ? 'TRUE' : 'FALSE'}`,
  )
  return {
    report: [`Condition evaluated: ${node.data?.label ?? node.id}`, `Result: ${met ? 'TRUE' : 'FALSE'}`, 'Details:', ...lines].join('\n'),
    handle: met?.condition.id ?? 'bottom-handle',
  }
}

function keep(flow: Flow, { id }: WorkflowNode, text: string, status: string): void {
  flow.nodeOutputs[id] = text
  flow.content = text
  flow.status = status
}

const UNIT_MS: Record<string, number> = { seconds: 1000, minutes: 60_000, hours: 3_600_000, days: 86_400_000 }
const MAX_DELAY_MS = 366 * 86_400_000

/** @throws DomainError `validation-failed` for a delay that cannot be understood */
function delayOf({ id, data }: WorkflowNode): number {
  const value = Number(data?.delay?.value)
  const ms = value * (UNIT_MS[data?.delay?.unit ?? 'seconds'] ?? Number.NaN)
  if (!(ms >= 0 && ms <= MAX_DELAY_MS)) throw new DomainError('validation-failed', `The delay of the node ${data?.label ?? id} is no time.`)
  return ms
}

/** It tells about the way, and is nothing that a run answers with. */
const NO_ANSWER = { report: true }

const says = (author: string, text: string): AgentEvent => ({ author, content: { role: 'model', parts: [{ text }] } })

const unlessGone = (error: unknown) => {
  if (error instanceof DomainError && error.problem === 'not-found') return undefined
  throw error
}
