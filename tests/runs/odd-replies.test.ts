import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { asStored } from '~/features/runs/as-stored'
import { jsonText } from '~/features/runs/queries/owned'
import { gemini, openai, serveRaw, sse } from '../support/raw-provider'
import { startApp, type TestApp } from '../support/start-app'
import { until } from '../support/until'

let app: TestApp
let answers: Array<() => Response> = []
/** Answers with what a test wants said next. */
const provider = serveRaw(() => answers.shift()?.() ?? sse(openai.text('Done.'), openai.end('stop'), '[DONE]'))

beforeAll(async () => {
  app = await startApp({
    GEMINI_BASE_URL: provider.url,
    GEMINI_API_KEY: 'test-key-1234567890',
    OPENAI_COMPATIBLE_BASE_URL: provider.url,
  })
})
afterEach(() => {
  answers = []
})
afterAll(async () => {
  await app.close()
  await provider.stop()
})

async function ask(model: string, config: object = {}) {
  const { call, clientId } = app.ada
  const agent = await call('POST', '/api/v1/agents/', { client_id: clientId, name: 'odd', type: 'llm', model, config })
  const answer = await call('POST', `/api/v1/chat/${agent.body.id}/somebody`, { message: 'hello' })
  const { body: history } = await call('GET', `/api/v1/sessions/somebody_${agent.body.id}/messages`)
  return { answer, history }
}

test('a call of a tool whose name nothing can have is answered, and the run goes on', async () => {
  const long = Array.from({ length: 4000 }, () => String.fromCharCode(97 + Math.floor(Math.random() * 26))).join('')
  for (const name of [long, 'a\u0000b', 'a\ud800b']) {
    answers = [() => sse(openai.call(name, '{}'), openai.end('tool_calls'), '[DONE]')]
    const { answer, history } = await ask('openai-compatible/any')
    expect(answer).toMatchObject({ status: 200, body: { response: 'Done.' } })
    expect(history[2].content.parts[0].function_response.response).toMatchObject({ error: 'unknown_tool' })
  }
})

test('arguments that no database takes are asked about, searched for and resumed with like any others', async () => {
  const odd = JSON.stringify({ query: 'nul \u0000 and half \ud800' })
  answers = [() => sse(openai.call('load_memory', odd), openai.end('tool_calls'), '[DONE]')]
  expect((await ask('openai-compatible/any', { load_memory: true })).answer).toMatchObject({ status: 200, body: { response: 'Done.' } })

  answers = [() => sse(openai.call('load_memory', odd), openai.end('tool_calls'), '[DONE]')]
  const { answer } = await ask('openai-compatible/any', { load_memory: true, require_approval: ['load_memory'] })
  expect(answer.status).toBe(409)
  const [wanted] = (await app.ada.call('GET', '/api/v1/approvals/?state=pending')).body
  expect(wanted.arguments).toEqual({ query: 'nul \ufffd and half \ufffd' })
  await app.ada.call('POST', `/api/v1/approvals/${wanted.id}/decision`, { decision: 'approve' })
  const runOf = async () => (await app.ada.call('GET', `/api/v1/runs/${wanted.run_id}`)).body
  await until(async () => (await runOf()).finished_at !== null)
  expect(await runOf()).toMatchObject({ status: 'succeeded', result: { response: 'Done.' } })
})

test('a step gives at once what PostgreSQL will give of it later', async () => {
  const odd = { where: 1, at: [{ b: 'nul \u0000', aa: null, a: '\ud800' }], 10: 'ten', 9: 'nine', é: 2, zz: 3, '😀': 4, '\uffee\u00ff': 5 }
  const [row] = await app.services.db.execute<{ value: unknown }>(sql`select ${jsonText(odd)}::text::jsonb as value`)
  expect(JSON.stringify(asStored(odd))).toBe(JSON.stringify(row?.value))
})

test('code that Gemini ran by itself is shown with its result', async () => {
  const executableCode = { language: 'PYTHON', code: 'print(6 * 7)' }
  const codeExecutionResult = { outcome: 'OUTCOME_OK', output: '42' }
  answers = [() => sse(gemini.parts([{ executableCode }, { codeExecutionResult }, { text: 'It is 42.' }], 'STOP'))]
  const { answer, history } = await ask('gemini/gemini-2.5-flash')
  expect(answer).toMatchObject({ status: 200, body: { response: 'It is 42.' } })
  expect(provider.seen.filter(({ path }) => path.includes('gemini'))).toHaveLength(1)
  expect(history[1].content.parts).toMatchObject([
    { executable_code: executableCode, text: null },
    { code_execution_result: codeExecutionResult, text: null },
    { text: 'It is 42.' },
  ])
})
