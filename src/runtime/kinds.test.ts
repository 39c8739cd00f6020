import { expect, test } from 'bun:test'
import { DomainError } from '~/platform/errors'
import type { RemoteAgent } from './a2a/types'
import { loopAgent } from './loop-agent'
import { parallelAgent } from './parallel-agent'
import { OutcomeUnknown, RunPaused } from './pause'
import { remoteAgent } from './remote-agent'
import { sequentialAgent } from './sequential-agent'
import { taskAgent } from './task-agent'
import { Crash, createMemoryRun, llm, member, parrot, scriptedModel, shortly, tool } from './testing'
import type { Agent, AgentEvent } from './types'

const said = async (agent: Agent, text = 'hi') => {
  const run = createMemoryRun(text)
  await run.execute(agent)
  return run.events.map(shortly)
}

/** Dies after every single step, and dies again, until the run gets through. */
async function survive(agent: Agent, text = 'hi') {
  const run = createMemoryRun(text)
  for (let deaths = 0; deaths < 200; deaths++) {
    try {
      await run.execute(agent, { dieAfterSteps: 1 })
      return run
    } catch (error) {
      if (!(error instanceof Crash)) throw error
    }
  }
  throw new Error('never got through')
}

test('defect 2: a sequence runs in order, and each hears those before it', async () => {
  expect(await said(sequentialAgent([parrot('a'), parrot('b'), parrot('c')]))).toEqual(['a: heard []', 'b: heard [a]', 'c: heard [a,b]'])
})

test('defect 2: parallel branches do not hear each other, and who follows hears them in one order, whoever was faster', async () => {
  const agent = sequentialAgent([
    parrot('first'),
    member('both', parallelAgent('both', [parrot('slow', 30), parrot('fast')])),
    parrot('last'),
  ])
  const run = createMemoryRun('hi')
  await run.execute(agent)
  expect(run.events.map(shortly)).toEqual([
    'first: heard []',
    'fast: heard [first]',
    'slow: heard [first]',
    'last: heard [first,slow,fast]',
  ])
  expect(run.events.map(({ branch }) => branch)).toEqual([undefined, 'both.fast', 'both.slow', undefined])
})

test('defect 2: a loop ends when a member escalates, or at its limit', async () => {
  const model = scriptedModel((_, heard) => (heard.split('heard [').length > 2 ? [{ call: 'exit_loop' }] : 'not yet'))
  const judged = loopAgent([parrot('writer'), member('judge', llm(model, { name: 'judge' }))], 5)
  expect(await said(judged)).toEqual([
    'writer: heard []',
    'judge: not yet',
    'writer: heard [writer,judge]',
    'judge: call exit_loop',
    'judge: exit_loop -> {"result":"The loop ends."}',
  ])
  expect(await said(loopAgent([parrot('a')], 3))).toHaveLength(3)
})

test('defect 16: all tasks are done in order, each with the tools it may use, and nothing follows an error', async () => {
  const model = scriptedModel(
    ({ tools }, heard) =>
      `${tools.map(({ name }) => name).join('+')} for ${/<description>([^<]*)<\/description>(?![\s\S]*<description>)/.exec(heard)?.[1]}`,
  )
  const worker = member('worker', llm(model, { name: 'worker', tools: [tool('read', async () => 1), tool('write', async () => 1)] }))
  const tasks = [
    { member: worker, description: 'Look at {content}', expectedOutput: 'notes', enabledTools: ['read'] },
    { member: worker, description: 'Write', expectedOutput: 'text', enabledTools: [] },
  ]
  const run = createMemoryRun('the sea')
  await run.execute(taskAgent('crew', tasks, [parrot('after')]))
  expect(run.events.map(shortly)).toEqual([
    'crew: Starting crew task processing...',
    'crew - Task executor: <task><instructions>Execute the following task:</instructions><description>Look at the sea</description><expected_output>notes</expected_output></task>',
    'worker: read for Look at the sea',
    'crew - Task executor: <task><instructions>Execute the following task:</instructions><description>Write</description><expected_output>text</expected_output></task>',
    'worker: read+write for Write',
    'after: heard [crew,crew - Task executor,worker,crew - Task executor,worker]',
  ])
  const failing = member('broken', async function* () {
    yield* []
    throw new DomainError('upstream-error', 'no')
  })
  const broken = createMemoryRun('x')
  const agent = taskAgent('crew', [{ member: failing, description: '', expectedOutput: '', enabledTools: [] }], [parrot('after')])
  await expect(broken.execute(agent)).rejects.toThrow('no')
  expect(broken.events.some(({ author }) => author === 'after')).toBe(false)
})

test('a remote agent is sent one message under a name that repetitions share, and its answer is an event', async () => {
  const sent: string[] = []
  const remote = {
    effect: 'idempotent' as const,
    async send({ text, messageId, contextId }: { text: string; messageId: string; contextId: string }) {
      sent.push(`${text} ${messageId} ${contextId}`)
      return { parts: [{ text: 'from afar' }], inputRequired: false }
    },
  }
  expect(await said(remoteAgent('far', remote, [parrot('after')]), 'hello')).toEqual(['far: from afar', 'after: heard [far]'])
  expect(sent).toEqual(['hello remote user_agent:far'])
})

test('a remote agent that has asked back is told the answer in the task that waits for it', async () => {
  const tasks: (string | undefined)[] = []
  const remote: RemoteAgent = {
    effect: 'idempotent',
    async send({ taskId }) {
      tasks.push(taskId)
      return tasks.length === 1
        ? { parts: [{ text: 'which one?' }], inputRequired: true, taskId: 'task-1' }
        : { parts: [{ text: 'thanks' }], inputRequired: false }
    },
  }
  const agent = remoteAgent('far', remote, [])
  const history: AgentEvent[] = []
  for (const text of ['ask', 'this one', 'more']) {
    const run = createMemoryRun(text, { history })
    await run.execute(agent)
    history.push(...run.events)
  }
  expect(tasks).toEqual([undefined, 'task-1', undefined])
})

test('whatever the kind, a run that dies after each of its steps says and does everything exactly once', async () => {
  const booked: string[] = []
  const book = tool('book', async ({ what }) => ({ booked: booked.push(String(what)) }), { effect: 'unsafe' })
  const model = () =>
    scriptedModel(({ messages }) =>
      messages.some(({ role }) => role === 'tool')
        ? 'booked'
        : [
            { call: 'book', args: { what: 'table' } },
            { call: 'helper', args: { request: 'help' } },
          ],
    )
  const helper = member(
    'helper',
    llm(
      scriptedModel(() => 'helped'),
      { name: 'helper' },
    ),
  )
  const booker = (name: string) => member(name, llm(model(), { name, tools: [book], agentTools: [helper] }))
  const agent = sequentialAgent([
    booker('one'),
    member('both', parallelAgent('both', [booker('left'), booker('right'), parrot('third')])),
    member('loop', loopAgent([booker('again')], 2)),
    parrot('last'),
  ])
  const calm = createMemoryRun('hi')
  await calm.execute(agent)
  const calls = booked.splice(0).length
  const stormy = await survive(agent)
  const inOrder = (run: typeof calm) =>
    run.events.toSorted((a, b) => (a.key < b.key ? -1 : 1)).map((event) => `${event.key} ${event.branch} ${event.author}`)
  expect(inOrder(stormy)).toEqual(inOrder(calm))
  expect(new Set(stormy.events.map(({ key }) => key)).size).toBe(stormy.events.length)
  expect(stormy.events.at(-1)?.content).toEqual(calm.events.at(-1)?.content as { role: 'model'; parts: [] })
  expect(booked.length).toBeGreaterThanOrEqual(calls)
  // A step that died under way may have been tried again; none that was done was done again.
  const finished = stormy.performed.filter((key, index, all) => all.lastIndexOf(key) === index)
  expect(new Set(finished).size).toBe(new Set(calm.performed).size)
})

test('a branch that waits lets the others come to their end first', async () => {
  const waits = member('waits', async function* (context) {
    await context.approval('ask', { tool: 'book', agent: 'waits', args: {} })
    yield context.event({ author: 'waits', content: { role: 'model', parts: [{ text: 'allowed' }] } })
  })
  const run = createMemoryRun('hi')
  const agent = parallelAgent('both', [waits, parrot('busy', 20)])
  expect(await run.execute(agent).catch((error) => error)).toBeInstanceOf(RunPaused)
  expect(run.events.map(shortly)).toEqual(['busy: heard []'])
  run.decisions.set('0/ask', { approved: true, args: {} })
  await run.execute(agent)
  expect(run.events.map(shortly)).toEqual(['busy: heard []', 'waits: allowed'])
})

test('a branch that fails ends the others, and is what the run fails of', async () => {
  let ended = false
  const endless = member('endless', async function* (context) {
    yield* []
    await new Promise((resolve) => context.signal.addEventListener('abort', resolve))
    ended = true
    context.signal.throwIfAborted()
  })
  const fails = member('fails', async function* () {
    yield* []
    await Bun.sleep(5)
    throw new DomainError('upstream-error', 'broken')
  })
  const unknown = member('unknown', async function* () {
    yield* []
    throw new OutcomeUnknown('tool:1:0:x')
  })
  await expect(createMemoryRun('hi').execute(parallelAgent('p', [endless, fails, unknown]))).rejects.toThrow('broken')
  expect(ended).toBe(true)
})

test('more branches than allowed are refused', async () => {
  const many = Array.from({ length: 3 }, (_, index) => parrot(`p${index}`))
  await expect(createMemoryRun('hi', { maxFanOut: 2 }).execute(parallelAgent('p', many))).rejects.toMatchObject({
    problem: 'limit-exceeded',
  })
})
