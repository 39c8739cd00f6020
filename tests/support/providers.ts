import { type ChatCompletionRequest, type FixtureResponse, LLMock } from '@copilotkit/aimock'

/**
 * Model providers on a loopback port: OpenAI, Anthropic and Gemini in their own wire protocols. What they do depends on the user's last message
 * (`prompts`), so the same request can be made of all three, with any model's name.
 */
export interface Providers {
  openaiBaseUrl: string
  anthropicBaseUrl: string
  geminiBaseUrl: string
  /** The only key that they take. */
  key: string
  /** Model calls in the order they came, in OpenAI's form whatever came over the wire: aimock reads each protocol by itself. */
  requests(): ChatCompletionRequest[]
  stop(): Promise<void>
}

/** What to say, and what comes of it. */
export const prompts = {
  /** `answers.hello` in pieces of four characters; `usage` is counted. */
  hello: 'hello',
  /** A call of `get_weather`, then, with its result, `answers.weather`. */
  weather: 'how is the weather',
  /** Two calls of `get_weather` in one reply, then `answers.weather`. */
  twoCities: 'compare two cities',
  unauthorized: 'fail with 401',
  invalid: 'fail with 400',
  overloaded: 'fail with 529',
  broken: 'fail with 500',
  /** 429 with `Retry-After: 7`, always. */
  limited: 'fail with 429',
  /** The same with `Retry-After: 60`, which nobody waits for. */
  limitedForLong: 'fail with 429 for a minute',
  /** 429 with `Retry-After: 7` on every odd call, `answers.hello` on every even one. */
  limitedOnce: 'fail once with 429',
  brokenOnce: 'fail once with 500',
  /** `answers.hello`, 100 ms between the pieces. */
  slow: 'speak slowly',
  /** No byte for 30 s. */
  silent: 'say nothing',
  /** The connection dies after some pieces. */
  cut: 'hang up',
} as const

export const answers = { hello: 'Hello, I am a model of the test.', weather: 'It is sunny there.' }
export const usage = { input: 11, output: 9 }

export async function startProviders(): Promise<Providers> {
  const key = 'test-key-5f1c9a7e3b'
  const mock = new LLMock({ port: 0, journalMaxEntries: 10_000, auth: { apiKeys: [key] } })
  const say = (content: string) => ({ content, usage: countedBy(usage) })
  const fail = (status: number, type: string, retryAfter?: number) => ({
    error: { message: `It failed with ${status}, and the key was ${key}.`, type },
    status,
    ...(retryAfter === undefined ? {} : { retryAfter }),
  })
  const weatherIn = (city: string) => ({ name: 'get_weather', arguments: JSON.stringify({ city }) })
  const pieces = { chunkSize: 4 }

  mock.onMessage(exactly(prompts.hello), say(answers.hello), pieces)
  for (const [prompt, toolCalls] of [
    [prompts.weather, [weatherIn('Rome')]],
    [prompts.twoCities, [weatherIn('Rome'), weatherIn('Oslo')]],
  ] as const) {
    mock.on({ userMessage: exactly(prompt), hasToolResult: false }, { toolCalls: [...toolCalls], usage: countedBy(usage) })
    mock.on({ userMessage: exactly(prompt), hasToolResult: true }, say(answers.weather), pieces)
  }
  mock.onMessage(exactly(prompts.unauthorized), fail(401, 'authentication_error'))
  mock.onMessage(exactly(prompts.invalid), fail(400, 'invalid_request_error'))
  mock.onMessage(exactly(prompts.overloaded), fail(529, 'overloaded_error'))
  mock.onMessage(exactly(prompts.broken), fail(500, 'server_error'))
  mock.onMessage(exactly(prompts.limited), fail(429, 'rate_limit_error', 7))
  mock.onMessage(exactly(prompts.limitedForLong), fail(429, 'rate_limit_error', 60))
  mock.onMessage(exactly(prompts.limitedOnce), inTurn(fail(429, 'rate_limit_error', 7), say(answers.hello)), pieces)
  mock.onMessage(exactly(prompts.brokenOnce), inTurn(fail(500, 'server_error'), say(answers.hello)), pieces)
  mock.onMessage(exactly(prompts.slow), say(answers.hello), { ...pieces, latency: 100 })
  mock.onMessage(exactly(prompts.silent), say(answers.hello), { streamingProfile: { ttft: 30_000 } })
  mock.onMessage(exactly(prompts.cut), say(answers.hello), { ...pieces, latency: 40, disconnectAfterMs: 200 })
  await mock.start()

  return {
    openaiBaseUrl: `${mock.url}/v1`,
    anthropicBaseUrl: `${mock.url}/v1`,
    geminiBaseUrl: `${mock.url}/v1beta`,
    key,
    requests: () => mock.getRequests().flatMap(({ body }) => (body !== null && isChat(body) ? [body] : [])),
    stop: () => mock.stop(),
  }
}

/** The whole last message, or its last line: an agent may put something before it. */
const exactly = (prompt: string) => new RegExp(`(^|\\n)${prompt}\\s*$`)

const isChat = (body: object): body is ChatCompletionRequest => 'messages' in body

function inTurn(...responses: FixtureResponse[]) {
  let calls = 0
  return () => responses[calls++ % responses.length] as FixtureResponse
}

/** Each protocol has its own names for the counts. */
const countedBy = ({ input, output }: { input: number; output: number }) => ({
  prompt_tokens: input,
  completion_tokens: output,
  total_tokens: input + output,
  input_tokens: input,
  output_tokens: output,
  promptTokenCount: input,
  candidatesTokenCount: output,
  totalTokenCount: input + output,
})
