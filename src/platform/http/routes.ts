import type { AnyElysia } from 'elysia'
import { DomainError } from '../errors'
import { pathOf } from './problems'

export interface RouteInfo {
  method: string
  /** With `:name` placeholders. */
  path: string
}

/** The routes of a composed app, without the technical ones (CORS preflight, WebSocket pseudo methods). */
export const listRoutes = (app: AnyElysia): RouteInfo[] =>
  app.routes
    .filter(({ method, path }) => method !== 'OPTIONS' && path !== '/*')
    .map(({ method, path }) => ({ method: method === 'WS' ? 'GET' : method, path }))

/** The app's last step: everything that has no route is told why. Each path is registered for `ALL`, since Elysia knows no 405. */
export function unknownRoutes<A extends AnyElysia>(app: A): A {
  const missing = missingRoute(listRoutes(app))
  app.all('/*', (context) => {
    const { method, url } = context.request as Request
    throw missing(method, pathOf(url))
  })
  return app
}

/**
 * What a request that met no route deserves: 405 with `Allow` where its path exists with another method, else 404.
 * Elysia answers 404 for both.
 */
export function missingRoute(routes: RouteInfo[]): (method: string, path: string) => DomainError {
  const patterns = new Map<string, { pattern: RegExp; methods: Set<string> }>()
  for (const { method, path } of routes) {
    const known = patterns.get(path) ?? { pattern: patternOf(path), methods: new Set<string>() }
    known.methods.add(method)
    if (method === 'GET') known.methods.add('HEAD')
    patterns.set(path, known)
  }
  return (method, path) => {
    const allowed = new Set<string>()
    for (const { pattern, methods } of patterns.values()) if (pattern.test(path)) for (const method of methods) allowed.add(method)
    if (allowed.size === 0 || allowed.has(method)) return new DomainError('not-found', 'Not Found')
    return new DomainError('method-not-allowed', 'Method Not Allowed', { headers: { allow: [...allowed, 'OPTIONS'].sort().join(', ') } })
  }
}

const patternOf = (path: string) =>
  new RegExp(
    `^${path
      .replace(/\/$/, '')
      .split('/')
      .map((part) => (part.startsWith(':') ? '[^/]+' : part === '*' ? '.*' : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')))
      .join('/')}/?$`,
  )
