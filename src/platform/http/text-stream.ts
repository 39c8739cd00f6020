/** An answer that is made while it is sent, as fast as the client reads. A failure on the way cuts the connection, so that what came is not taken for all. */
export function textStream(type: string, pieces: AsyncGenerator<string>): Response {
  const encoder = new TextEncoder()
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await pieces.next()
      if (done) controller.close()
      else controller.enqueue(encoder.encode(value))
    },
    async cancel() {
      await pieces.return(undefined)
    },
  })
  return new Response(body, { headers: { 'content-type': type, 'cache-control': 'no-store' } })
}
