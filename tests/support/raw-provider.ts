import { silentLog } from '~/platform/log'
import { createModelClient } from '~/runtime/model/client'
import type { ModelMessage } from '~/runtime/model/types'
import { fakeTime } from './model-calls'

export interface Seen {
  path: string
  headers: Headers
  body: Record<string, unknown>
  /** Settles when the caller closes the connection. */
  left: Promise<void>
}

/**
 * A provider that answers with these responses in turn, the last one for ever, and a client of it. For what aimock does not do or hides: raw
 * requests, signatures, ends that are no end.
 */
export function serveRaw(...answers: Array<() => Response>) {
  const seen: Seen[] = []
  const server = Bun.serve({
    port: 0,
    async fetch(request) {
      const left = new Promise<void>((resolve) => request.signal.addEventListener('abort', () => resolve()))
      const { pathname, search } = new URL(request.url)
      const body = (await request.json()) as Record<string, unknown>
      seen.push({ path: pathname + search, headers: request.headers, body, left })
      const answer = answers[Math.min(seen.length, answers.length) - 1]
      return answer === undefined ? new Response(null, { status: 404 }) : answer()
    },
  })
  const url = `http://127.0.0.1:${server.port}`
  const time = fakeTime()
  const client = createModelClient({
    openaiBaseUrl: url,
    anthropicBaseUrl: url,
    geminiBaseUrl: url,
    compatibleBaseUrl: url,
    defaultKeys: { openai: 'operators-key' },
    clock: time.clock,
    log: silentLog,
  })
  return { client, seen, url, stop: () => server.stop(true), ...time }
}

export const sse = (...events: unknown[]) =>
  new Response(events.map((event) => `data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`).join(''), {
    headers: { 'content-type': 'text/event-stream' },
  })

/** Begins with these events, or with a mere sign of life, and then says nothing more. */
export const sseThenSilence = (...events: unknown[]) => {
  const beginning = events.length === 0 ? ': ping\n\n' : events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')
  return new Response(new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode(beginning)) }), {
    headers: { 'content-type': 'text/event-stream' },
  })
}

export const openai = {
  model: 'openai/gpt-4o',
  text: (content: string) => ({ choices: [{ index: 0, delta: { content } }] }),
  call: (name: string, args: string) => ({
    choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name, arguments: args } }] } }],
  }),
  end: (finish_reason: string) => ({ choices: [{ index: 0, delta: {}, finish_reason }] }),
}
export const anthropic = {
  model: 'anthropic/claude-sonnet-4-5',
  start: {
    type: 'message_start',
    message: { id: 'm', model: 'c', role: 'assistant', content: [], usage: { input_tokens: 3, output_tokens: 1 } },
  },
  text: [
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Half an ' } },
  ],
}
export const gemini = {
  model: 'gemini/gemini-3-pro-preview',
  parts: (parts: unknown[], finishReason?: string) => ({ candidates: [{ index: 0, content: { role: 'model', parts }, finishReason }] }),
}

export const hello: ModelMessage[] = [{ role: 'user', parts: [{ type: 'text', text: 'hello' }] }]
export const getWeather = {
  name: 'get_weather',
  description: 'Weather.',
  inputSchema: { type: 'object', properties: { city: { type: 'string' } } },
}
