import { endWithParent } from './child'

/**
 * A model provider with OpenAI's wire format and a steady pace: the first piece comes after FIRST_MS, the next ones every PIECE_MS.
 * In a process of its own, so that its work is not taken for ours.
 */
const FIRST_MS = 100
const PIECE_MS = 20

endWithParent()
Bun.serve({
  port: Number(process.env.PORT),
  hostname: '127.0.0.1',
  routes: {
    '/ready': new Response('ok'),
    '/v1/chat/completions': { POST: answer },
  },
})

/** `model` says how many pieces: `paced-75`. */
async function answer(request: Request): Promise<Response> {
  const arrived = performance.now()
  const { model } = (await request.json()) as { model: string }
  const pieces = Number(model.split('-').at(-1))
  const stream = new ReadableStream<string>({
    async start(controller) {
      for (let piece = 0; piece < pieces; piece++) {
        const due = arrived + FIRST_MS + piece * PIECE_MS
        await Bun.sleep(Math.max(0, due - performance.now()))
        controller.enqueue(chunk(model, { ...(piece === 0 ? { role: 'assistant' } : {}), content: ` word${piece}` }, null))
      }
      controller.enqueue(chunk(model, {}, 'stop'))
      controller.enqueue('data: [DONE]\n\n')
      controller.close()
    },
  })
  return new Response(stream, { headers: { 'content-type': 'text/event-stream' } })
}

const chunk = (model: string, delta: Record<string, string>, finish: string | null) =>
  `data: ${JSON.stringify({
    id: 'chatcmpl-bench',
    object: 'chat.completion.chunk',
    created: 1_700_000_000,
    model,
    choices: [{ index: 0, delta, finish_reason: finish }],
  })}\n\n`
