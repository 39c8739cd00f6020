import { expect, test } from 'bun:test'
import { DomainError, notFound } from '~/platform/errors'
import type { Member } from '../member'
import { RunPaused } from '../pause'
import { createMemoryRun, member, parrot, shortly } from '../testing'
import { isMet } from './condition'
import { workflowAgent } from './workflow-agent'

const start = { id: 's', type: 'start-node', position: { x: 0, y: 0 }, data: { label: 'Start' } }
const agentNode = (id: string, agent: string, more = {}) => ({ id, type: 'agent-node', data: { label: id, agent: { id: agent }, ...more } })
const message = (id: string, content: string) => ({ id, type: 'message-node', data: { label: id, message: { type: 'text', content } } })
const delay = (id: string, value: number, unit: string) => ({ id, type: 'delay-node', data: { label: id, delay: { value, unit } } })
const condition = (id: string, ...conditions: [string, string, string, unknown][]) => ({
  id,
  type: 'condition-node',
  data: {
    label: id,
    conditions: conditions.map(([key, field, operator, value]) => ({ id: key, type: 'previous-output', data: { field, operator, value } })),
  },
})
const edge = (source: string, target: string, sourceHandle?: string) => ({
  id: `${source}-${target}`,
  source,
  target,
  ...(sourceHandle === undefined ? {} : { sourceHandle }),
})
/** `a > b > c` */
const chain = (path: string) => path.split(' > ').flatMap((id, index, all) => (index === 0 ? [] : [edge(all[index - 1] as string, id)]))

const agents: Record<string, Member> = { a: parrot('a'), b: parrot('b'), slow: parrot('slow', 200), c: parrot('c') }
const workflow = (
  nodes: object[],
  edges: object[],
  more: { subAgents?: Member[]; timeoutSeconds?: number; agents?: Record<string, Member> } = {},
) =>
  workflowAgent(
    { name: 'flow', workflow: { nodes, edges }, timeoutSeconds: 5, subAgents: [], ...more },
    {
      async loadMember(id) {
        const found = { ...agents, ...more.agents }[id]
        if (found === undefined) throw notFound('Agent')
        return found
      },
    },
  )
const runOf = async (agent: ReturnType<typeof workflow>, text = 'hi') => {
  const run = createMemoryRun(text)
  await run.execute(agent)
  return run
}
const said = async (...args: Parameters<typeof runOf>) => (await runOf(...args)).events.map(shortly)

test('a graph is gone through from its start, each event under its node, the sub-agents after it', async () => {
  const nodes = [message('m', 'constant'), agentNode('n1', 'a'), start, agentNode('gone', 'nobody'), { id: 'x', type: 'sticky-note' }]
  expect(await said(workflow(nodes, chain('s > n1 > x > m > gone'), { subAgents: [parrot('after')] }))).toEqual([
    'workflow-node:s: Workflow started',
    'workflow-node:n1: heard [workflow-node:s]',
    'workflow-node:m: constant',
    'workflow-node:gone: Agent not found',
    'after: heard [workflow-node:s,a,workflow-node:m,workflow-node:gone]',
  ])
})

test('defect 17: chained conditions look at what an agent said, not at the report of the one before', async () => {
  const nodes = [
    start,
    message('m', 'The price is 7 euros'),
    condition('c1', ['c1a', 'content', 'contains', 'PRICE']),
    condition('c2', ['c2a', 'content', 'contains', 'evaluated'], ['c2b', 'content', 'matches', '\\b7 euros?$']),
    message('yes', 'found'),
    message('no', 'not found'),
  ]
  const edges = [...chain('s > m > c1'), edge('c1', 'c2', 'c1a'), edge('c2', 'no', 'c2a'), edge('c2', 'yes', 'c2b')]
  expect(await said(workflow(nodes, edges))).toEqual([
    'workflow-node:s: Workflow started',
    'workflow-node:m: The price is 7 euros',
    "workflow-node:c1: Condition evaluated: c1\nResult: TRUE\nDetails:\n- content contains 'PRICE': TRUE",
    "workflow-node:c2: Condition evaluated: c2\nResult: TRUE\nDetails:\n- content contains 'evaluated': FALSE\n- content matches '\\b7 euros?$': TRUE",
    'workflow-node:yes: found',
  ])
})

test('no condition met leads out at the bottom, or ends', async () => {
  const never = condition('c', ['k', 'content', 'equals', 'something else'])
  const nodes = [start, never, message('below', 'bottom')]
  expect((await said(workflow(nodes, [...chain('s > c'), edge('c', 'below', 'bottom-handle')]))).at(-1)).toBe('workflow-node:below: bottom')
  expect((await said(workflow(nodes, [...chain('s > c'), edge('c', 'below', 'k')]))).at(-1)).toContain('Result: FALSE')
})

test('every operator of a condition', () => {
  const met = (actual: unknown, operator: string, value?: unknown) => isMet({ operator, value }, actual)
  const yes: [unknown, string, unknown?][] = [
    ['x', 'is_defined'],
    [0, 'is_defined'],
    ['', 'is_not_defined'],
    [undefined, 'is_not_defined'],
    ['a', 'equals', 'a'],
    [7, 'equals', '7'],
    ['a', 'not_equals', 'A'],
    ['Hello', 'contains', 'ELL'],
    ['Hello', 'not_contains', 'x'],
    ['Hello', 'starts_with', 'he'],
    ['Hello', 'ends_with', 'LO'],
    ['10', 'greater_than', '9'],
    ['', 'greater_than_or_equal', '0'],
    ['-1.5', 'less_than', ''],
    ['1e2', 'less_than_or_equal', '100'],
    ['Order 66', 'matches', 'order \\d+'],
    ['abc', 'not_matches', '^b'],
    ['abc', 'not_matches', '(('],
    [{ a: 1 }, 'contains', '"a":1'],
  ]
  const no: [unknown, string, unknown?][] = [
    [null, 'is_defined'],
    ['x', 'is_not_defined'],
    ['a', 'equals', 'A'],
    ['a', 'not_equals', 'a'],
    ['ten', 'greater_than', '9'],
    ['ten', 'less_than', '9'],
    ['0x10', 'greater_than', '1'],
    ['abc', 'matches', '(('],
    ['abc', 'resembles', 'abc'],
  ]
  expect(yes.filter((row) => !met(...row))).toEqual([])
  expect(no.filter((row) => met(...row))).toEqual([])
})

test("defect 56: a tenant's pattern cannot run away", () => {
  const begun = performance.now()
  expect(isMet({ operator: 'matches', value: '^(a+)+$' }, `${'a'.repeat(50_000)}!`)).toBe(false)
  expect(isMet({ operator: 'matches', value: '(x+x+)+y' }, 'x'.repeat(50_000))).toBe(false)
  expect(performance.now() - begun).toBeLessThan(2000)
})

test('defect 18: a straight flow does not end after its tenth agent', async () => {
  const ids = Array.from({ length: 15 }, (_, index) => `n${index}`)
  const events = await said(workflow([start, ...ids.map((id) => agentNode(id, 'a'))], chain(['s', ...ids].join(' > '))))
  expect(events).toHaveLength(16)
})

test('defect 18: a circle ends when one of its edges has been gone along ten times', async () => {
  const events = await said(workflow([start, agentNode('n', 'a'), message('m', 'again')], [...chain('s > n > m'), edge('m', 'n')]))
  expect(events.filter((event) => event === 'workflow-node:m: again')).toHaveLength(10)
  expect(events.at(-1)).toEndWith('Cycle limit reached')
})

test('defect 18: all edges of a handle are taken, and where they come together it goes on once', async () => {
  const nodes = [
    start,
    agentNode('left', 'slow'),
    agentNode('right', 'b'),
    message('right2', 'short'),
    agentNode('end', 'c'),
    message('m', 'over'),
  ]
  const edges = [...chain('s > left > end > m'), ...chain('s > right > right2 > end')]
  const run = await runOf(workflow(nodes, edges))
  expect(run.events.map(shortly)).toEqual([
    'workflow-node:s: Workflow started',
    'workflow-node:right: heard [workflow-node:s]',
    'workflow-node:right2: short',
    'workflow-node:left: heard [workflow-node:s]',
    'workflow-node:end: heard [workflow-node:s,slow,b,workflow-node:right2]',
    'workflow-node:m: over',
  ])
  expect(run.events.map(({ branch }) => branch)).toEqual([undefined, 'flow.1', 'flow.1', 'flow.0', undefined, undefined])
})

test('defect 18: a day is a day, and nobody waits for it', async () => {
  const agent = workflow([start, delay('d', 2, 'days'), message('m', 'later')], chain('s > d > m'))
  const run = createMemoryRun('hi')
  const pause = await run.execute(agent).catch((error) => error)
  expect(pause).toBeInstanceOf(RunPaused)
  expect(pause.wakeAt.getTime() - run.now).toBe(2 * 86_400_000)
  run.now += 2 * 86_400_000
  await run.execute(agent)
  expect(run.events.map(shortly)).toEqual(['workflow-node:s: Workflow started', 'workflow-node:m: later'])
  const odd = workflow([start, delay('d', 2, 'moons')], chain('s > d'))
  await expect(createMemoryRun('hi').execute(odd)).rejects.toMatchObject({ problem: 'validation-failed' })
})

test('defect 18: a node that takes too long ends the workflow, which says so', async () => {
  const endless = member('endless', async function* (context) {
    yield* []
    await new Promise((resolve) => context.signal.addEventListener('abort', resolve))
    context.signal.throwIfAborted()
  })
  const run = createMemoryRun('hi')
  const agent = workflow([start, agentNode('n', 'endless', { timeout: 0.05 })], chain('s > n'), { agents: { endless } })
  await expect(run.execute(agent)).rejects.toMatchObject({ problem: 'upstream-timeout' })
  expect(run.events.map(shortly).at(-1)).toBe(
    'workflow-error:flow: Error executing the workflow agent: The node n took longer than 0.05 seconds.',
  )
})

test('a node may be given more time than a timer can hold', async () => {
  const patient = member('patient', async function* (context) {
    await Bun.sleep(20)
    context.signal.throwIfAborted()
    yield context.event({ author: 'patient', content: { role: 'model', parts: [{ text: 'done' }] } })
  })
  const agent = workflow([agentNode('n', 'patient', { timeout: 30 * 86_400 })], [], { agents: { patient } })
  expect(await said(agent)).toEqual(['workflow-node:n: done'])
})

test('an agent that needs consent is not run before it is given, and not at all where it is refused', async () => {
  const careful: Member = { ...parrot('careful'), requiresApproval: true }
  const agent = workflow([agentNode('n', 'careful')], [], { agents: { careful } })
  const run = createMemoryRun('hi')
  expect(await run.execute(agent).catch((error) => error)).toBeInstanceOf(RunPaused)
  expect(run.events).toEqual([])
  const refused = createMemoryRun('hi')
  refused.decisions.set('n0/approval', { approved: false, reason: 'too dear' })
  await refused.execute(agent)
  expect(refused.events.map(shortly)).toEqual(['workflow-node:n: Not allowed: too dear'])
  run.decisions.set('n0/approval', { approved: true, args: {} })
  await run.execute(agent)
  expect(run.events.map(shortly)).toEqual(['workflow-node:n: heard []'])
})

test('COST-01: a workflow goes through a thousand nodes at most', async () => {
  const ids = Array.from({ length: 1001 }, (_, index) => `m${index}`)
  const walkOf = (count: number) =>
    workflow(
      ids.slice(0, count).map((id) => message(id, id)),
      chain(ids.slice(0, count).join(' > ')),
    )
  expect(await said(walkOf(1000))).toHaveLength(1000)
  await expect(createMemoryRun('hi').execute(walkOf(1001))).rejects.toMatchObject({ problem: 'limit-exceeded' })
})

test('a delay is neither negative nor longer than a year', async () => {
  for (const days of [-1, 367])
    await expect(createMemoryRun('hi').execute(workflow([delay('d', days, 'days')], []))).rejects.toMatchObject({
      problem: 'validation-failed',
    })
  expect(
    await createMemoryRun('hi')
      .execute(workflow([delay('d', 366, 'days')], []))
      .catch((error) => error),
  ).toBeInstanceOf(RunPaused)
})

test('conditions ask about what their own branch has said, and what no node is called is not defined', async () => {
  const nodes = [
    start,
    message('beside', 'said at once'),
    agentNode('n', 'slow'),
    condition('c', ['c1', 'beside', 'is_defined', ''], ['c2', 'constructor', 'is_defined', ''], ['c3', 'n', 'contains', 'heard']),
    message('seen', 'seen'),
    message('own', 'own'),
  ]
  const edges = [...chain('s > beside'), ...chain('s > n > c'), edge('c', 'seen', 'c1'), edge('c', 'seen', 'c2'), edge('c', 'own', 'c3')]
  expect((await said(workflow(nodes, edges))).at(-1)).toBe('workflow-node:own: own')
})

test('what an agent has said last is its output, whatever it does after that', async () => {
  const busy = member('busy', async function* (context) {
    yield context.event({ author: 'busy', content: { role: 'model', parts: [{ text: 'my word' }] } })
    yield context.event({ author: 'busy', content: { role: 'model', parts: [{ function_call: { id: '1', name: 'book', args: {} } }] } })
  })
  const nodes = [agentNode('n', 'busy'), condition('c', ['c1', 'n', 'equals', 'my word']), message('yes', 'yes')]
  expect((await said(workflow(nodes, [...chain('n > c'), edge('c', 'yes', 'c1')], { agents: { busy } }))).at(-1)).toBe(
    'workflow-node:yes: yes',
  )
})

test('an agent that fails is told of, and fails the run', async () => {
  const broken = member('broken', async function* () {
    yield* []
    throw new DomainError('upstream-error', 'no')
  })
  const run = createMemoryRun('hi')
  await expect(run.execute(workflow([agentNode('n', 'broken')], [], { agents: { broken } }))).rejects.toThrow('no')
  expect(run.events.map(({ author }) => author)).toEqual(['workflow-error:flow'])
  await expect(createMemoryRun('hi').execute(workflow([], []))).rejects.toMatchObject({ problem: 'validation-failed' })
})
