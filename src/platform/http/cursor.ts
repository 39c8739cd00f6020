import { createHash } from 'node:crypto'
import { t } from 'elysia'
import { invalid } from '../errors'
import { isMoment, type Position } from '../keyset'
import { UUID } from '../uuid'
import { type Page, pageOf } from './schema'

/** `cursor` of a list. Read it with `positionOf` or `cursorPageOf`. */
export const CursorQuery = {
  cursor: t.Optional(
    t.String({ minLength: 1, maxLength: 3000, description: 'From the `next` link of the page before; counts instead of `skip`.' }),
  ),
}

export interface ListOrder {
  /** What the items are ordered by: a moment unless said otherwise. */
  by?: 'moment' | 'text'
  ids?: 'uuid' | 'text'
}

/** @throws DomainError `validation-failed` for a cursor that is none of ours, or is one of another list, order, filter or client */
export function positionOf(request: Request, cursor: string | undefined, { by = 'moment', ids = 'uuid' }: ListOrder = {}) {
  if (cursor === undefined) return undefined
  const [list, at, id, ...more] = textsOf(cursor)
  const isOurs = more.length === 0 && id !== undefined && at !== undefined && list === listOf(request)
  if (!isOurs || !(by === 'moment' ? isMoment(at) : isStorable(at)) || !(ids === 'uuid' ? UUID.test(id) : isStorable(id)))
    throw invalid('/query/cursor', 'format', 'Must be a cursor from a Link header of the same list')
  return { at, id }
}

/** `skip`, `limit` and `cursor` of a list's query. */
export const cursorPageOf = (request: Request, query: { skip?: string; limit?: string; cursor?: string }, order?: ListOrder): Page => {
  const after = positionOf(request, query.cursor, order)
  return after === undefined ? pageOf(query) : { ...pageOf(query), skip: 0, after }
}

/** Relative, so that it is right behind every proxy. */
export function nextUrl(request: Request, { at, id }: Position): string {
  const { pathname, searchParams } = urlOf(request)
  searchParams.delete('skip')
  searchParams.set('cursor', Buffer.from(JSON.stringify([listOf(request), at, id])).toString('base64url'))
  return `${pathname}?${searchParams}`
}

const urlOf = ({ url }: Request) => new URL(url, 'http://localhost')

/** Names the list with its order, its filters and its client: a position means something in that one alone. */
function listOf(request: Request): string {
  const { pathname, searchParams } = urlOf(request)
  for (const name of ['skip', 'limit', 'cursor']) searchParams.delete(name)
  searchParams.sort()
  return createHash('sha256')
    .update([pathname.replace(/\/$/, ''), searchParams, request.headers.get('x-client-id') ?? ''].join('\n').toLowerCase())
    .digest('base64url')
    .slice(0, 11)
}

function textsOf(cursor: string): string[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))
    return Array.isArray(parts) && parts.every((part) => typeof part === 'string') ? parts : []
  } catch (error) {
    if (error instanceof SyntaxError) return []
    throw error
  }
}

/** PostgreSQL takes neither NUL nor half a character. */
const isStorable = (text: string) => !text.includes('\0') && text.isWellFormed()
