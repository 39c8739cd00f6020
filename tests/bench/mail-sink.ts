import { endWithParent } from './child'

/** A mail provider that takes every mail and remembers how many, and when the last one came. In a process of its own. */
let count = 0
let lastAt = 0
let answerMs = 0

endWithParent()
Bun.serve({
  port: Number(process.env.PORT),
  hostname: '127.0.0.1',
  routes: {
    '/ready': new Response('ok'),
    '/v3/mail/send': { POST: take },
    '/taken': () => Response.json({ count, lastAt } satisfies Taken),
    '/pace/:ms': {
      POST: (request) => {
        answerMs = Number(request.params.ms)
        return new Response('ok')
      },
    },
  },
})

export interface Taken {
  count: number
  /** Unix time in milliseconds. */
  lastAt: number
}

async function take(request: Request): Promise<Response> {
  await request.json()
  count += 1
  lastAt = performance.timeOrigin + performance.now()
  if (answerMs > 0) await Bun.sleep(answerMs)
  return new Response(null, { status: 202, headers: { 'x-message-id': String(count) } })
}
