import type { Page } from './schema'

/** `X-Total-Count` and `Link` (RFC 8288) of one page of a list: the array itself stays bare. */
export function pageHeaders(request: Request, { skip, limit }: Page, total: number): Record<string, string> {
  const links: string[] = []
  const link = (rel: string, start: number) => links.push(`<${pageUrl(request.url, start, limit)}>; rel="${rel}"`)
  if (skip > 0) link('first', 0)
  if (skip > 0) link('prev', Math.max(0, skip - limit))
  if (skip + limit < total) link('next', skip + limit)
  return { 'x-total-count': String(total), ...(links.length > 0 ? { link: links.join(', ') } : {}) }
}

/** Relative, so that it is right behind every proxy. */
function pageUrl(url: string, skip: number, limit: number): string {
  const { pathname, searchParams } = new URL(url, 'http://localhost')
  searchParams.set('skip', String(skip))
  searchParams.set('limit', String(limit))
  return `${pathname}?${searchParams}`
}
