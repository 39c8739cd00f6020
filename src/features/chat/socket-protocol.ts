import { Value } from '@sinclair/typebox/value'
import { DomainError, sentenceOf } from '~/platform/errors'
import { toFieldErrors } from '~/platform/http/field-errors'
import { parseJsonText } from '~/platform/http/json-body'
import { Authorization, ChatMessage, Resumption } from './schema'

/** Shown in the API document. */
export const SOCKET_PROTOCOL = `
Frames are JSON texts.

1. The first frame says who you are, within 5 s: \`{"type":"authorization","token":"<access token>"}\` or \`{"type":"authorization","api_key":"<agent key>"}\`.
   There is no answer; a refusal closes the connection with 1008. Messages may follow at once. The same frame, sent again, renews a token before it expires.
2. \`{"message":"text","files":[{"filename","content_type","data"}]}\` is a turn. One turn is taken at a time, later ones wait; when the one before them waits
   for somebody, such as for an approval, that is said again.
3. Each event of the turn comes whole: \`{"message":{…},"turn_complete":false}\`; the turn ends with \`{"message":"","turn_complete":true}\`, also when it failed:
   the text of the failure is then an event, with the problem in \`error\`.

With \`?deltas=true\`, or \`"deltas":true\` in the authorization, frames are the entries of the run's log instead, as the event stream of REST has them:
\`{"type":"text-delta","id":4,"run_id":"…","data":{…}}\`. \`ready\` tells that you are in; \`error\` carries a problem. A turn ends with \`run-finished\`,
\`run-failed\` or \`run-cancelled\`. \`{"type":"resume","run_id":"…","last_event_id":4}\` follows a run from behind that entry, on any replica.

Close codes: 1008 not, or no longer, allowed, or too many messages; 1009 a frame is too large; 1012 the server restarts, the reason says after how many seconds
to come back; 1013 you read too slowly.`

export type ClientFrame =
  | { kind: 'authorization'; token: string | undefined; apiKey: string | undefined; deltas: boolean | undefined }
  | { kind: 'resume'; runId: string; after: number }
  | { kind: 'message'; message: ChatMessage }

/** @throws DomainError `malformed-request`, `validation-failed`; never with what was sent */
export function readFrame(raw: string | Uint8Array): ClientFrame {
  if (typeof raw !== 'string') throw new DomainError('malformed-request', 'Send text frames, not binary ones.')
  const frame = parseJsonText(raw)
  if (frame === null || typeof frame !== 'object' || Array.isArray(frame))
    throw new DomainError('malformed-request', 'A frame must be a JSON object.')
  if ('type' in frame && frame.type === 'authorization') {
    const { token, api_key, deltas } = checked(Authorization, frame)
    if (!token && !api_key) throw new DomainError('unauthenticated', 'Send a token or an api_key.')
    return { kind: 'authorization', token: token || undefined, apiKey: api_key || undefined, deltas }
  }
  if ('type' in frame && frame.type === 'resume') {
    const { run_id, last_event_id } = checked(Resumption, frame)
    return { kind: 'resume', runId: run_id, after: last_event_id ?? 0 }
  }
  return { kind: 'message', message: readMessage(frame) }
}

/** Undefined for a frame that is none; one that is broken is told of in its turn. */
export function readRenewal(raw: string | Uint8Array): Extract<ClientFrame, { kind: 'authorization' }> | undefined {
  if (typeof raw !== 'string' || raw.length > MAX_RENEWAL || !raw.includes('"authorization"')) return undefined
  try {
    const frame = readFrame(raw)
    return frame.kind === 'authorization' ? frame : undefined
  } catch (error) {
    if (error instanceof DomainError) return undefined
    throw error
  }
}

/** Tokens are short; a long text that speaks of authorization is not read twice. */
const MAX_RENEWAL = 16_384

/** Keys that nobody knows are let through, and files that lack one are skipped, as the web frontend expects. */
function readMessage(frame: object): ChatMessage {
  const { message, files } = frame as { message?: unknown; files?: unknown }
  const complete = Array.isArray(files) ? files.filter(isComplete) : []
  const read = checked(ChatMessage, {
    message: message ?? '',
    files: complete.map(({ filename, content_type, data }) => ({
      filename,
      // What a browser says of a file whose type it does not know.
      content_type: content_type === '' ? 'application/octet-stream' : content_type,
      data,
    })),
  })
  if (read.message === '' && complete.length === 0) throw new DomainError('validation-failed', 'The message is empty.')
  return read
}

const isComplete = (file: unknown): file is Record<'filename' | 'content_type' | 'data', unknown> =>
  file !== null && typeof file === 'object' && ['filename', 'content_type', 'data'].every((key) => key in file)

function checked<S extends typeof Authorization | typeof Resumption | typeof ChatMessage>(schema: S, value: unknown): S['static'] {
  const errors = toFieldErrors(Value.Errors(schema, value))
  const first = errors[0]
  if (first === undefined) return value as S['static']
  throw new DomainError('validation-failed', sentenceOf(first, 'frame'), { errors })
}
