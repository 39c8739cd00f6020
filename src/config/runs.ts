import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { Reader } from './reader'

const Dollars = Type.Number({ minimum: 0, maximum: 1_000_000 })
type Price = Static<typeof Price>
const Price = Type.Object({ input: Dollars, cachedInput: Type.Optional(Dollars), output: Dollars }, { additionalProperties: false })

function readPrices(raw: string): Record<string, Price> | undefined {
  try {
    const value: unknown = JSON.parse(raw)
    return Value.Check(Type.Record(Type.String(), Price), value) ? value : undefined
  } catch {
    return undefined // no JSON
  }
}

export function readModels(read: Reader) {
  read.group = 'Models'
  return {
    openaiBaseUrl: read.url('OPENAI_BASE_URL', "OpenAI's address, with its version path.", 'https://api.openai.com/v1'),
    anthropicBaseUrl: read.url('ANTHROPIC_BASE_URL', "Anthropic's address, with its version path.", 'https://api.anthropic.com/v1'),
    geminiBaseUrl: read.url(
      'GEMINI_BASE_URL',
      "Google's address, with its version path.",
      'https://generativelanguage.googleapis.com/v1beta',
    ),
    compatibleBaseUrl: read.url('OPENAI_COMPATIBLE_BASE_URL', 'Address behind models named `openai-compatible/…`.', undefined),
    openaiKey: read.optional('OPENAI_API_KEY', 'Used by agents without a key of their own. Absent: such agents are refused.', {
      secret: true,
    }),
    anthropicKey: read.optional('ANTHROPIC_API_KEY', 'The same for Anthropic.', { secret: true }),
    geminiKey: read.optional('GEMINI_API_KEY', 'The same for Google.', { secret: true }),
    callTimeoutMs: read.integer('MODEL_TIMEOUT_MS', 'Deadline of one model call.', 300_000, 1000, 3_600_000),
  }
}

export function readRuns(read: Reader) {
  read.group = 'Runs'
  return {
    leaseSeconds: read.integer('RUN_LEASE_SECONDS', 'A run whose process is silent for so long is taken over.', 10, 2, 600),
    timeoutSeconds: read.integer('RUN_TIMEOUT_SECONDS', 'Wall time of one run.', 600, 1, 86_400),
    maxSteps: read.integer('RUN_MAX_STEPS', "Model calls of one agent's turn.", 50, 1, 10_000),
    maxDepth: read.integer('RUN_MAX_DEPTH', 'How deep agents may be nested in agents.', 10, 1, 100),
    maxFanOut: read.integer('RUN_MAX_FAN_OUT', 'Agents, tools or branches that one agent runs at the same time.', 64, 1, 1000),
    maxTokens: read.integer('RUN_MAX_TOKENS', 'Tokens of one run, in and out.', 5_000_000, 1000, 1_000_000_000),
    defaultOutputTokens: read.integer(
      'RUN_DEFAULT_OUTPUT_TOKENS',
      'Most output tokens of one model call where a budget applies and the agent says nothing.',
      8192,
      16,
      1_000_000,
    ),
    approvalSeconds: read.integer(
      'APPROVAL_TIMEOUT_SECONDS',
      'How long somebody may think before an approval counts as refused.',
      86_400,
      1,
      31_536_000,
    ),
    prices: read.json<Record<string, Price>>(
      'MODEL_PRICES',
      'Prices of models as JSON, in US dollars for a million tokens: `{"openai/gpt-4o": {"input": 2.5, "cachedInput": 1.25, "output": 10}}`. Added to the list prices that the server knows.',
      {},
      { parse: readPrices, expected: 'JSON with input, output and maybe cachedInput, at least 0, for each model', shown: 'list prices' },
    ),
    maxHistory: read.integer('RUN_MAX_HISTORY', 'Events of a session that a model is shown, newest first.', 200, 1, 10_000),
    concurrentPerClient: read.integer('RUNS_PER_CLIENT', 'Runs of one client at the same time.', 50, 1, 100_000),
    recoveryConcurrency: read.integer(
      'RUN_RECOVERY_CONCURRENCY',
      'Recovered and background runs that one worker executes at the same time.',
      50,
      1,
      10_000,
    ),
  }
}

export function readLimits(read: Reader) {
  read.group = 'Limits'
  const bodyBytes = read.integer('MAX_BODY_BYTES', 'Largest request body.', 1_048_576, 1024, 1_073_741_824)
  const uploadBytes = read.integer(
    'MAX_UPLOAD_BYTES',
    'Largest body of chat and import requests, which carry files.',
    73_400_320,
    1024,
    1_073_741_824,
  )
  return {
    bodyBytes,
    uploadBytes,
    heldBytes: read.integer(
      'MAX_HELD_BYTES',
      'Large bodies, answers and files of runs that one process holds at the same time, half of it for one client at most. Who finds no room within 1.5 s is answered 503, a run waits.',
      4 * uploadBytes,
      1_048_576,
      1_099_511_627_776,
      { shown: 'four times MAX_UPLOAD_BYTES' },
    ),
    toolTimeoutMs: read.integer('TOOL_TIMEOUT_MS', 'Longest a tool may take.', 30_000, 100, 600_000),
    toolResponseBytes: read.integer('TOOL_RESPONSE_BYTES', "Largest decoded answer of a tenant's URL.", 1_048_576, 1024, 104_857_600),
  }
}
