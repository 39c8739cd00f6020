import type { Clock } from '~/platform/clock'
import type { Outbound, OutboundRequest } from '~/platform/outbound'
import { createHttpTool, type HttpToolSpec } from './http-tool'

/** As the frontend saves a tool that was filled in by hand. */
export const weather: HttpToolSpec = {
  name: 'get_weather',
  method: 'GET',
  endpoint: 'https://api.example.com/cities/{city}/weather',
  description: 'Weather of a city',
  headers: { Authorization: 'Bearer {api_key}' },
  values: { api_key: 'k-123', units: 'metric' },
  parameters: { path_params: { city: 'Name of the city' }, query_params: { units: 'imperial', fields: ['temp', 'wind'] }, body_params: {} },
  error_handling: { timeout: 30, retry_count: 0, fallback_response: { error: '', message: '' } },
}
export const order: HttpToolSpec = {
  name: 'order',
  method: 'POST',
  endpoint: 'https://shop.example.com/orders',
  headers: {},
  values: { channel: 'chat', count: '1', secret: 's-456' },
  parameters: {
    body_params: {
      item: { type: 'string', required: true, description: 'Article number' },
      count: { type: 'number', required: true, description: 'How many' },
      gift: { type: 'boolean', required: false, description: '' },
      channel: { type: 'string', required: false, description: '' },
    },
  },
}

export type Answer = { status: number; body?: string; headers?: Record<string, string> } | Error

/** A guard that answers from `answers`, the last one for ever, and a clock that only sleeping moves. */
export function fakes(answers: Answer[] = [{ status: 200, body: '{"ok":true}' }]) {
  const sent: OutboundRequest[] = []
  const slept: number[] = []
  let now = 0
  const clock: Clock = {
    now: () => now,
    async sleep(ms, signal) {
      signal?.throwIfAborted()
      slept.push(ms)
      now += ms
    },
  }
  const outbound: Pick<Outbound, 'request'> = {
    async request(request) {
      sent.push(request)
      const answer = answers[Math.min(sent.length, answers.length) - 1] ?? new Error('no answer')
      if (answer instanceof Error) throw answer
      const body = Buffer.from(answer.body ?? '')
      return { status: answer.status, headers: new Headers(answer.headers), body, text: () => body.toString() }
    },
  }
  return { sent, slept, deps: { outbound: outbound as Outbound, maxTimeoutMs: 60_000, maxBytes: 1000, clock } }
}

export const call = (signal = new AbortController().signal) => ({ callId: 'c1', idempotencyKey: 'step-1', signal })

export async function run(spec: HttpToolSpec, args: Record<string, unknown>, answers?: Answer[]) {
  const fake = fakes(answers)
  const result = await createHttpTool(spec, fake.deps).execute(args, call())
  return { result, ...fake }
}
