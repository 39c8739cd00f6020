import { t } from 'elysia'
import { invalid } from '../errors'

/** Where a page of a list ends: the moment (in microseconds, as text) and the id of its last item. */
export interface Position {
  at: string
  id: string
}

/** `cursor` of a list ordered by moment and id. Read it with `positionOf`. */
export const CursorQuery = {
  cursor: t.Optional(
    t.String({ minLength: 1, maxLength: 200, description: 'From the `next` link of the page before; counts instead of `skip`.' }),
  ),
}

const POSITION = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)~([0-9a-f-]{36})$/

/** @throws DomainError `validation-failed` for a cursor that is none of ours */
export function positionOf(cursor: string | undefined): Position | undefined {
  if (cursor === undefined) return undefined
  const [, at, id] = POSITION.exec(Buffer.from(cursor, 'base64url').toString('latin1')) ?? []
  if (at === undefined || id === undefined) throw invalid('/query/cursor', 'format', 'Must be a cursor from a Link header')
  return { at, id }
}

/** `Link` (RFC 8288) to the page behind `last`; nothing after a page that was not full. */
export function nextLink(request: Request, last: Position | undefined): Record<string, string> {
  if (last === undefined) return {}
  const { pathname, searchParams } = new URL(request.url, 'http://localhost')
  searchParams.delete('skip')
  searchParams.set('cursor', Buffer.from(`${last.at}~${last.id}`).toString('base64url'))
  return { link: `<${pathname}?${searchParams}>; rel="next"` }
}
