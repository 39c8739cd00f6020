import type { Position } from '../keyset'
import { nextUrl } from './cursor'
import type { Page } from './schema'

/**
 * `X-Total-Count` and `Link` (RFC 8288) of one page of a list: the array itself stays bare. With `last`, where the page ends, the next page is
 * linked by a cursor. Without `total` the list is too long to be counted.
 */
export function pageHeaders(
  request: Request,
  { skip, limit, after }: Page,
  total: number | undefined,
  last?: Position,
): Record<string, string> {
  const links: string[] = []
  const link = (rel: string, url: string) => links.push(`<${url}>; rel="${rel}"`)
  if (skip > 0 || after !== undefined) link('first', pageUrl(request.url, 0, limit))
  if (skip > 0) link('prev', pageUrl(request.url, Math.max(0, skip - limit), limit))
  const goesOn = after === undefined && total !== undefined ? skip + limit < total : last !== undefined
  if (goesOn) link('next', last === undefined ? pageUrl(request.url, skip + limit, limit) : nextUrl(request, last))
  return { ...(total === undefined ? {} : { 'x-total-count': String(total) }), ...(links.length > 0 ? { link: links.join(', ') } : {}) }
}

/** Relative, so that it is right behind every proxy. */
function pageUrl(url: string, skip: number, limit: number): string {
  const { pathname, searchParams } = new URL(url, 'http://localhost')
  searchParams.delete('cursor')
  searchParams.set('skip', String(skip))
  searchParams.set('limit', String(limit))
  return `${pathname}?${searchParams}`
}
