import { Elysia } from 'elysia'
import { DomainError } from '../errors'
import { assetResponse, conditional, etagOf } from './docs/assets'
import type { DocumentSettings } from './docs/document'
import { docsPage, PAGE_POLICY } from './docs/page'

/**
 * The OpenAPI document on `/openapi.json` and Swagger UI on `/docs`, all of it from this server. `/redoc` leads there too: Redoc's packages bring
 * react, styled-components and telemetry among our dependencies, or a logo from their host. The document is made when it is first asked for.
 */
export const apiDocs = (settings: DocumentSettings) => {
  const docs = new Elysia({ detail: { hide: true } })
  const document = lazy(async () => {
    const { openApiDocument } = await import('./docs/document')
    const text = JSON.stringify(openApiDocument(docs, settings))
    return { text, etag: etagOf(text) }
  })
  return docs
    .get('/openapi.json', async ({ request }) => {
      const { text, etag } = await document()
      return conditional(request, etag, { 'content-type': 'application/json', 'cache-control': 'no-cache' }, () => text)
    })
    .get('/docs', () => {
      const headers = {
        'content-type': 'text/html; charset=utf-8',
        'content-security-policy': PAGE_POLICY,
        'referrer-policy': 'no-referrer',
        'cache-control': 'no-cache',
      }
      return new Response(docsPage(settings.about.title), { headers })
    })
    .get('/redoc', () => new Response(null, { status: 307, headers: { location: '/docs' } }))
    .get('/docs/assets/:file', async ({ request, params }) => {
      const response = await assetResponse(request, params.file)
      if (response === undefined) throw new DomainError('not-found', 'Not Found')
      return response
    })
}

/** Made once, however many ask at the same time; a failure is not kept. */
function lazy<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined
      throw error
    })
    return made
  }
}
