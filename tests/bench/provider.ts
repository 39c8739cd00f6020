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

/** `model` says how many pieces, and at which pace: `paced-75`, or `flat-out-75` for as fast as they are read. */
async function answer(request: Request): Promise<Response> {
  const arrived = performance.now()
  const { model } = (await request.json()) as { model: string }
  const pieces = Number(model.split('-').at(-1))
  const isPaced = model.startsWith('paced-')
  const chunks = chunksOf(model, pieces)
  let next = 0
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (isPaced && next < pieces) await Bun.sleep(Math.max(0, arrived + FIRST_MS + next * PIECE_MS - performance.now()))
      controller.enqueue(chunks[next])
      next += 1
      if (next === chunks.length) controller.close()
    },
  })
  return new Response(stream, { headers: { 'content-type': 'text/event-stream' } })
}

const known = new Map<string, Uint8Array[]>()

/** Made once a model: hundreds of streams are to cost this process little. */
function chunksOf(model: string, pieces: number): Uint8Array[] {
  const found = known.get(model)
  if (found !== undefined) return found
  const words = Array.from({ length: pieces }, (_, piece) =>
    chunk(model, { ...(piece === 0 ? { role: 'assistant' } : {}), content: ` word${piece}` }, null),
  )
  const made = [...words, chunk(model, {}, 'stop'), 'data: [DONE]\n\n'].map((text) => new TextEncoder().encode(text))
  known.set(model, made)
  return made
}

const chunk = (model: string, delta: Record<string, string>, finish: string | null) =>
  `data: ${JSON.stringify({
    id: 'chatcmpl-bench',
    object: 'chat.completion.chunk',
    created: 1_700_000_000,
    model,
    choices: [{ index: 0, delta, finish_reason: finish }],
  })}\n\n`
