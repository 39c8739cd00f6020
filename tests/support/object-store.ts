/** An S3-compatible store in memory: PUT, GET and DELETE of objects by path. It checks no signature but wants one. */
export function startObjectStore() {
  const objects = new Map<string, { bytes: Uint8Array; type: string }>()
  const store = {
    objects,
    /** Answers 503 while it is. */
    isDown: false,
    url: '',
    close: () => server.stop(true),
  }
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const { pathname } = new URL(request.url)
      if (store.isDown) return new Response(null, { status: 503 })
      if (!request.headers.get('authorization')?.startsWith('AWS4-HMAC-SHA256')) return new Response(null, { status: 403 })
      if (request.method === 'PUT') {
        objects.set(pathname, { bytes: await request.bytes(), type: request.headers.get('content-type') ?? '' })
        return new Response(null, { headers: { etag: '"1"' } })
      }
      if (request.method === 'DELETE') {
        objects.delete(pathname)
        return new Response(null, { status: 204 })
      }
      const found = objects.get(pathname)
      return found === undefined
        ? new Response(null, { status: 404 })
        : new Response(found.bytes, { headers: { 'content-type': found.type } })
    },
  })
  store.url = `http://127.0.0.1:${server.port}`
  return store
}
