import { expect, test } from 'bun:test'
import { DomainError } from '~/platform/errors'
import { RunPaused } from './pause'
import { compileOutputSchema } from './structured-output'
import { createMemoryRun, heardBy, llm, member, parrot, scriptedModel, shortly, tool } from './testing'
import type { Agent, AgentEvent, Part } from './types'

const events = async (agent: Agent, text = 'hi', options = {}) => {
  const run = createMemoryRun(text, options)
  await run.execute(agent)
  return run.events
}

test('defect 9: a prompt may hold any brace, and may be absent', async () => {
  const model = scriptedModel(() => 'ok')
  await events(llm(model, { instruction: 'Say {"a": {}} on {current_date_iso} {', role: 'Clerk', goal: 'Sell' }))
  await events(llm(model))
  expect(model.requests.map(({ system }) => system)).toEqual([
    '<agent_goal>Sell</agent_goal>\n\n<agent_role>Clerk</agent_role>\n\nSay {"a": {}} on 2023-11-14 {',
    undefined,
  ])
})

test('defect 20: an agent tool is run as what it is, alone with its request, and its failure is told to the model', async () => {
  const heard: string[] = []
  const asked = member('expert', async function* (context) {
    heard.push(`${context.input.text} ${context.history.length} ${context.turn.length}`)
    yield context.event({ author: 'expert', content: { role: 'model', parts: [{ text: 'forty-two' }] } })
  })
  const broken = member('broken', async function* () {
    yield* []
    throw new DomainError('upstream-error', 'out of order')
  })
  const model = scriptedModel((request) =>
    request.messages.some(({ role }) => role === 'tool')
      ? 'done'
      : [
          { call: 'expert', args: { request: 'what?' } },
          { call: 'broken', args: {} },
          { call: 'nobody', args: {} },
        ],
  )
  const said = await events(llm(model, { agentTools: [asked, broken] }), 'hi', {
    history: [{ author: 'user', content: { role: 'user', parts: [{ text: 'before' }] } }],
  })
  expect(heard).toEqual(['what? 0 0'])
  expect(said.map(shortly)).toEqual([
    'guide: call expert call broken call nobody',
    'guide: expert -> {"result":"forty-two"} broken -> {"error":"tool_execution_error","message":"out of order","problem":"upstream-error"} nobody -> {"error":"unknown_tool","message":"There is no tool named nobody."}',
    'guide: done',
  ])
})

test('an answer that was cut off says so, and one that was cut off before its first word is a failure', async () => {
  const usage = { inputTokens: 1, outputTokens: 1, cachedInputTokens: 0, reasoningTokens: 0 }
  const ending = (text: string, finishReason: string) => llm({ generate: async () => ({ text, toolCalls: [], usage, finishReason }) })
  for (const reason of ['length', 'content-filter', 'error']) {
    const [said] = await events(ending('Half an', reason))
    expect(said).toMatchObject({ content: { parts: [{ text: 'Half an' }] }, actions: { finish_reason: reason } })
    await expect(events(ending('', reason))).rejects.toMatchObject({ problem: 'upstream-error' })
  }
  for (const reason of ['stop', 'other']) {
    const [said] = await events(ending('', reason))
    expect(said?.actions).toBeUndefined()
  }
})

test('a history that is cut off, or in which a call has no result, is sent in the form that providers take', async () => {
  const by = (author: string, ...parts: Part[]): AgentEvent => ({ author, content: { role: author === 'user' ? 'user' : 'model', parts } })
  const call = (id: string) => ({ function_call: { id, name: 'look', args: {} } })
  const result = (id: string, says: string) => ({ function_response: { id, name: 'look', response: { says } } })
  const sent = async (...history: AgentEvent[]) => {
    const model = scriptedModel(() => 'ok')
    await events(llm(model), 'hi', { history })
    return model.requests[0]?.messages.map(({ role, parts }) =>
      [
        role,
        ...parts.map((part) => (part.type === 'text' ? part.text : part.type === 'tool-result' ? JSON.stringify(part.result) : part.type)),
      ].join(' '),
    )
  }
  const unknown = expect.stringMatching(/^tool .*cut_off/)
  expect(await sent(by('guide', result('a', 'sun')), by('guide', { text: 'Sunny.' }))).toEqual([
    'user [What was said before is not shown.]',
    'assistant Sunny.',
    'user hi',
  ])
  expect(await sent(by('user', { text: 'weather?' }), by('guide', call('a')))).toEqual([
    'user weather?',
    'assistant tool-call',
    unknown,
    'user hi',
  ])
  expect(
    await sent(
      by('user', { text: 'weather?' }),
      by('guide', call('a'), call('b')),
      by('other', { text: 'Me too.' }),
      by('guide', result('b', 'rain'), result('a', 'sun')),
    ),
  ).toEqual([
    'user weather?',
    'assistant tool-call tool-call',
    'tool {"says":"sun"} {"says":"rain"}',
    'user [other] said: Me too.',
    'user hi',
  ])
})

test('a transfer hands the conversation to a sub-agent, which answers', async () => {
  const model = scriptedModel(() => [{ call: 'transfer_to_agent', args: { agent_name: 'b' } }])
  const said = await events(llm(model, { subAgents: [parrot('a'), parrot('b')] }))
  expect(said.map(shortly)).toEqual([
    'guide: call transfer_to_agent',
    'guide: transfer_to_agent -> {"result":"b goes on."}',
    'b: heard [guide,guide]',
  ])
  expect(said[1]?.actions).toEqual({ transfer_to_agent: 'b' })
  const lost = scriptedModel(({ messages }) => (messages.length > 2 ? 'sorry' : [{ call: 'transfer_to_agent', args: { agent_name: 'c' } }]))
  expect((await events(llm(lost, { subAgents: [parrot('a')] }))).at(-1)?.content.parts[0]?.text).toBe('sorry')
})

test('sub-agents of one name are told apart', async () => {
  const twins = ['first', 'second', 'third'].map((word) => ({ ...parrot(word), name: 'twin' }))
  const offered: unknown[] = []
  const model = scriptedModel(({ tools }) => {
    offered.push(...tools.map(({ inputSchema }) => inputSchema))
    return [{ call: 'transfer_to_agent', args: { agent_name: 'twin_3' } }]
  })
  const said = await events(llm(model, { subAgents: [...twins, parrot('twin_2')] }))
  expect(offered).toMatchObject([{ properties: { agent_name: { enum: ['twin', 'twin_3', 'twin_4', 'twin_2'] } } }])
  expect(said.map(shortly).at(-1)).toBe('second: heard [guide,guide]')
})

test('defect 63: tool sources are opened for the turn and closed after it, also when it fails or waits; what is missing is told', async () => {
  let open = 0
  const source = (problems: string[]) => ({
    name: 'files',
    async open() {
      open += 1
      return {
        tools: [tool('read', async () => 'text')],
        problems,
        async close() {
          open -= 1
        },
      }
    },
  })
  const model = scriptedModel(({ messages }) => (messages.some(({ role }) => role === 'tool') ? 'read it' : [{ call: 'read' }]))
  const said = await events(llm(model, { sources: [source(['the server does not answer'])] }))
  expect(said.map(shortly)).toEqual([
    'guide: files: the server does not answer',
    'guide: call read',
    'guide: read -> {"result":"text"}',
    'guide: read it',
  ])
  expect(said[0]?.actions).toEqual({ notice: { unavailable_tools: ['files: the server does not answer'] } })
  expect(open).toBe(0)
  const failing = scriptedModel(() => {
    throw new DomainError('upstream-error', 'no')
  })
  await expect(events(llm(failing, { sources: [source([])] }))).rejects.toThrow('no')
  await expect(events(llm(model, { sources: [source([])], requireApproval: ['read'] }))).rejects.toBeInstanceOf(RunPaused)
  expect(open).toBe(0)
})

test('two tools of one name end the run, and no tool is opened for nothing', async () => {
  const model = scriptedModel(() => 'never')
  const twice = llm(model, { tools: [tool('read', async () => 1)], agentTools: [parrot('read')] })
  await expect(events(twice)).rejects.toMatchObject({ problem: 'conflict' })
  expect(model.requests).toEqual([])
})

test('an answer must fit its schema: one repair is asked for, then the run fails', async () => {
  const schema = { type: 'object', properties: { city: { type: 'string', pattern: '^[A-Z]' } }, required: ['city'] }
  const answers = ['no json', '```json\n{"city": "Rome"}\n```']
  const model = scriptedModel(() => answers.shift() ?? '{"city": "rome"}')
  const agent = llm(model, { outputSchema: compileOutputSchema(schema) })
  expect((await events(agent)).map(shortly)).toEqual(['guide: {"city":"Rome"}'])
  expect(model.requests[0]?.outputSchema).toEqual(schema)
  expect(heardBy(model.requests[1] as (typeof model.requests)[number])).toContain('it is no JSON')
  await expect(events(agent)).rejects.toMatchObject({ problem: 'upstream-error' })
  expect(model.requests).toHaveLength(4)
  expect(() => compileOutputSchema({ type: 'nonsense' })).toThrow('output_schema')
  // Look-around is no pattern of RE2: nothing that could run away is ever compiled.
  expect(() => compileOutputSchema({ type: 'string', pattern: '(?=a)+' })).toThrow('output_schema')
})

test('a tool that needs consent is called with what was allowed, or not at all', async () => {
  const called: unknown[] = []
  const book = tool('book', async (args) => called.push(args), { requiresApproval: true })
  const model = scriptedModel(({ messages }) =>
    messages.some(({ role }) => role === 'tool') ? 'done' : [{ call: 'book', args: { seats: 2 } }],
  )
  const agent = llm(model, { tools: [book] })
  const run = createMemoryRun('hi')
  await expect(run.execute(agent)).rejects.toMatchObject({ reason: 'approval', detail: { step: 'tool:1:0:book' } })
  expect(called).toEqual([])
  run.decisions.set('tool:1:0:book', { approved: true, args: { seats: 3 } })
  await run.execute(agent)
  expect(called).toEqual([{ seats: 3 }])
  const refused = createMemoryRun('hi')
  refused.decisions.set('tool:1:0:book', { approved: false, reason: 'too dear' })
  await refused.execute(agent)
  expect(refused.events.map(shortly)[1]).toBe('guide: book -> {"error":"approval_rejected","message":"too dear"}')
  expect(called).toHaveLength(1)
})

test('a memory is looked up with a tool', async () => {
  const model = scriptedModel(({ messages }) =>
    messages.some(({ role }) => role === 'tool') ? 'I know' : [{ call: 'load_memory', args: { query: 'name' } }],
  )
  const memory = async (query: string) => [{ author: 'user', text: `about ${query}`, at: '2026-01-01T00:00:00Z' }]
  const said = await events(llm(model, { memory }))
  expect(shortly(said[1] as (typeof said)[number])).toContain('about name')
  expect(model.requests[0]?.system).toContain('load_memory')
})

test('COST-01: an agent that never comes to an end is stopped at its limit of steps', async () => {
  const model = scriptedModel(() => [{ call: 'again' }])
  await expect(events(llm(model), 'hi', { maxSteps: 3 })).rejects.toMatchObject({ problem: 'limit-exceeded' })
  expect(model.requests).toHaveLength(3)
})
