import { DomainError } from '../errors'

/** Whether a write may go on, RFC 9110 §13.1.1: without the header, with `*`, or with the tag that the thing has now. Weak tags never match. */
export function checkIfMatch(header: string | null | undefined, etag: string): void {
  if (header === null || header === undefined || header.trim() === '*') return
  const tags = header.split(',').map((tag) => tag.trim())
  if (!tags.includes(etag)) throw new DomainError('precondition-failed', 'It has been changed since you read it.', { headers: { etag } })
}
