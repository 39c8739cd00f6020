import { type ListTasksRequest, TaskState as OfficialState } from '@a2a-js/sdk'
import { DomainError } from '~/platform/errors'
import { readState } from './official-shapes'
import type { TaskPage } from './task'

const PAGE = 50
const MAX_PAGE = 100

/** Undefined for a state that no task of ours has, and so for no tasks. @throws DomainError `validation-failed` */
export function readPage({ contextId, status, pageSize, pageToken, historyLength, statusTimestampAfter }: ListTasksRequest): {
  limit: number
  page: TaskPage | undefined
} {
  const limit = pageSize ?? PAGE
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE) throw refused(`pageSize must be a number from 1 to ${MAX_PAGE}.`)
  if (status === OfficialState.UNRECOGNIZED) throw refused('status must be the name of a state.')
  const since = statusTimestampAfter === undefined ? undefined : new Date(statusTimestampAfter)
  if (Number.isNaN(since?.getTime())) throw refused('statusTimestampAfter must be a time as in ISO 8601.')
  const isAny = status === OfficialState.TASK_STATE_UNSPECIFIED
  const state = isAny ? undefined : readState(status)
  const page = {
    contextId: contextId || undefined,
    state,
    since,
    limit,
    after: pageToken || undefined,
    historyLength: readHistoryLength(historyLength),
  }
  return { limit, page: isAny || state !== undefined ? page : undefined }
}

/** @throws DomainError `validation-failed` */
export function readHistoryLength(historyLength: number | undefined): number | undefined {
  if (historyLength !== undefined && !(Number.isInteger(historyLength) && historyLength >= 0))
    throw refused('historyLength must be a whole number, and not negative.')
  return historyLength
}

/** The standard alphabet or that of URLs, padded or not: 1.0 has all four. */
const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/

/** Looks at the bytes of a message's parts as they were sent: the SDK decodes what it can and drops the rest. @throws DomainError `validation-failed` */
export function checkBytes(params: unknown): void {
  const { message } = (params ?? {}) as { message?: { parts?: unknown } | null }
  for (const part of Array.isArray(message?.parts) ? message.parts : []) {
    const bytes: unknown = part?.raw ?? part?.file?.bytes
    if (typeof bytes === 'string' && !BASE64.test(bytes)) throw refused('The bytes of a file must be base64.')
  }
}

const refused = (message: string) => new DomainError('validation-failed', message)
