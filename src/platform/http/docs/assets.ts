import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'

interface Asset {
  type: string
  file: () => string
}

const fromPackage = (name: string) => () => fileURLToPath(import.meta.resolve(`swagger-ui-dist/${name}`))
const fromHere = (name: string) => () => `${import.meta.dir}/browser/${name}`

/** All that /docs/assets/ serves: nothing of a request ever becomes part of a file's path. */
const ASSETS: Record<string, Asset> = {
  'swagger-ui-bundle.js': { type: 'text/javascript; charset=utf-8', file: fromPackage('swagger-ui-bundle.js') },
  'swagger-ui.css': { type: 'text/css; charset=utf-8', file: fromPackage('swagger-ui.css') },
  'favicon-32x32.png': { type: 'image/png', file: fromPackage('favicon-32x32.png') },
  'docs.js': { type: 'text/javascript; charset=utf-8', file: fromHere('docs.js') },
  'docs.css': { type: 'text/css; charset=utf-8', file: fromHere('docs.css') },
}

const etags = new Map<string, string>()

/** Undefined for a name that is not on the list. The bytes stay on disk: Bun sends them from there, only their hash is kept. */
export async function assetResponse(request: Request, name: string): Promise<Response | undefined> {
  const asset = Object.hasOwn(ASSETS, name) ? ASSETS[name] : undefined
  if (asset === undefined) return undefined
  const path = asset.file()
  const etag = etags.get(name) ?? etagOf(await Bun.file(path).bytes())
  etags.set(name, etag)
  return conditional(request, etag, { 'content-type': asset.type, 'cache-control': 'public, max-age=3600' }, () => Bun.file(path))
}

export const etagOf = (content: string | Uint8Array): string => `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`

/** 304 where the client has it already (RFC 9110 §13.1.2). */
export function conditional(request: Request, etag: string, headers: Record<string, string>, body: () => string | Blob): Response {
  const known = request.headers.get('if-none-match')?.split(',') ?? []
  const has = known.some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag)
  return has ? new Response(null, { status: 304, headers: { ...headers, etag } }) : new Response(body(), { headers: { ...headers, etag } })
}
