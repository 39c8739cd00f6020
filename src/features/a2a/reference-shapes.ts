import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { DomainError } from '~/platform/errors'
import type { AgentTask, NewTask, PushTarget, TaskState, TaskUpdate } from '~/runtime/a2a/task'
import type { Part } from '~/runtime/types'

/** The reference's dialect: 0.2 with words of its own. Both spellings of a part's kind are read and written. */

const File = Type.Object({
  name: Type.Optional(Type.String({ maxLength: 255 })),
  mimeType: Type.Optional(Type.String({ maxLength: 200 })),
  bytes: Type.Optional(Type.String()),
})
const Message = Type.Object({
  messageId: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
  contextId: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  taskId: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  parts: Type.Array(
    Type.Object({
      type: Type.Optional(Type.String()),
      kind: Type.Optional(Type.String()),
      text: Type.Optional(Type.String()),
      file: Type.Optional(File),
      data: Type.Optional(Type.Unknown()),
    }),
    { maxItems: 100 },
  ),
})
const Authentication = Type.Object({
  type: Type.Optional(Type.String()),
  schemes: Type.Optional(Type.Array(Type.String())),
  credentials: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  token: Type.Optional(Type.String()),
  apiKey: Type.Optional(Type.String()),
  headerName: Type.Optional(Type.String()),
})
const orNull = <T extends typeof Authentication | typeof PushConfig>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))
const PushConfig = Type.Object({
  id: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
  url: Type.Optional(Type.String()),
  webhookUrl: Type.Optional(Type.String()),
  token: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  authentication: Type.Optional(Type.Union([Authentication, Type.Null()])),
  webhookAuthenticationInfo: Type.Optional(Type.Union([Authentication, Type.Null()])),
})
const Params = Type.Object({
  message: Type.Optional(Message),
  contextId: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  taskId: Type.Optional(Type.String()),
  id: Type.Optional(Type.String()),
  pushNotificationConfig: orNull(PushConfig),
  configuration: Type.Optional(
    Type.Union([Type.Object({ pushNotificationConfig: orNull(PushConfig), historyLength: Type.Optional(Type.Integer()) }), Type.Null()]),
  ),
})
export type Params = Static<typeof Params>

/** @throws DomainError `validation-failed`, without what was sent */
export function readParams(value: unknown): Params {
  const fault = Value.Errors(Params, value ?? {}).First()
  if (fault !== undefined) throw refused(`params${fault.path}: ${fault.message}`)
  return (value ?? {}) as Params
}

export function readTask({ message, contextId, taskId, ...params }: Params): NewTask {
  const push = readPush(params)
  const texts: string[] = []
  const files: NewTask['files'] = []
  for (const { type, kind, text, file, data } of message?.parts ?? []) {
    if ((type ?? kind) === 'text' && text !== undefined) texts.push(text)
    else if ((type ?? kind) === 'data') texts.push(JSON.stringify(data ?? null))
    else if ((type ?? kind) === 'file') {
      if (file?.bytes === undefined) throw refused('Send the bytes of a file: it is not fetched from an address.')
      files.push({
        type: 'file',
        mediaType: file.mimeType || 'application/octet-stream',
        data: file.bytes,
        ...(file.name ? { filename: file.name } : {}),
      })
    }
  }
  const text = texts.join('\n')
  if (text === '' && files.length === 0) throw refused('missing text content or files in message parts')
  return {
    messageId: message?.messageId ?? crypto.randomUUID(),
    contextId: contextId || message?.contextId || undefined,
    // A client that names the task it talks about before there is one means nothing by it.
    taskId: message?.taskId || taskId || undefined,
    text,
    files,
    push,
  }
}

/** Undefined when there is none: the web frontend sends null for that. */
export function readPush({
  pushNotificationConfig,
  configuration,
}: Pick<Params, 'pushNotificationConfig' | 'configuration'>): PushTarget | undefined {
  const config = configuration?.pushNotificationConfig ?? pushNotificationConfig
  const url = config?.url || config?.webhookUrl
  if (!config || !url) return undefined
  const authentication = config.authentication ?? config.webhookAuthenticationInfo ?? undefined
  return {
    id: config.id ?? 'default',
    url,
    token: config.token || undefined,
    headers: authentication === undefined ? {} : headersOf(authentication),
    shown: authentication === undefined ? {} : { scheme: authentication.type ?? authentication.schemes?.[0] ?? 'none' },
  }
}

function headersOf({ type, schemes, credentials, token, apiKey, headerName }: Static<typeof Authentication>): Record<string, string> {
  const scheme = (type ?? schemes?.[0] ?? 'none').toLowerCase()
  if (scheme === 'none') return {}
  if (scheme === 'bearer') return { authorization: `Bearer ${token ?? credentials ?? ''}` }
  if (scheme !== 'apikey') throw refused('The authentication must be none, bearer or apikey.')
  if (apiKey !== undefined) return { [headerName ?? 'x-api-key']: apiKey }
  return apiKeyOf(credentials ?? '')
}

/** `{"in":"header","name":…,"value":…}`, or the key as it is. */
function apiKeyOf(credentials: string): Record<string, string> {
  if (!credentials.trim().startsWith('{')) return { 'x-api-key': credentials }
  try {
    const { name, value } = JSON.parse(credentials)
    if (typeof name === 'string' && typeof value === 'string') return { [name]: value }
  } catch (cause) {
    throw new DomainError('validation-failed', 'The credentials of the webhook are not valid JSON.', { cause })
  }
  throw refused('The credentials of the webhook need a name and a value.')
}

/** Of the authentication its scheme alone, in the reference's word and in the one that clients of 0.3 demand. */
export const showPush = ({ id, url, shown: { scheme } }: PushTarget) => ({
  id,
  url,
  ...(scheme === undefined ? {} : { authentication: { type: scheme, schemes: [scheme] } }),
})

export const referencePart = ({ text, inline_data }: Part): Record<string, unknown> =>
  inline_data === undefined
    ? { type: 'text', kind: 'text', text: text ?? '' }
    : {
        type: 'file',
        kind: 'file',
        file: { name: inline_data.metadata?.filename ?? 'file', mimeType: inline_data.mime_type, bytes: inline_data.data },
      }

export function referenceTask({ id, contextId, state, at, note, answer, history }: AgentTask): Record<string, unknown> {
  return {
    id,
    contextId,
    kind: 'task',
    status: statusOf(state, at, note),
    artifacts: answer.length === 0 ? [] : [{ artifactId: 'answer', name: 'answer', parts: answer.map(referencePart) }],
    history: history.map(({ id: messageId, role, parts, at: saidAt }) => ({
      role,
      parts: parts.map(referencePart),
      messageId,
      taskId: id,
      contextId,
      kind: 'message',
      timestamp: saidAt.toISOString(),
    })),
  }
}

const statusOf = (state: TaskState, at: Date, text: string | null) => ({
  state,
  timestamp: at.toISOString(),
  ...(text === null ? {} : { message: { role: 'agent', parts: [referencePart({ text })] } }),
})

const SPACING_MS = 100

/** Each event holds all of the text so far, which replaces what is shown: so they are spaced, lest a long answer be sent a thousand times. */
export async function* referenceEvents(updates: AsyncIterable<TaskUpdate>, { id, contextId }: { id: string; contextId: string }) {
  const about = { id, taskId: id, contextId, kind: 'status-update' }
  const status = (state: TaskState, text: string | null, final: boolean) => ({ ...about, status: statusOf(state, new Date(), text), final })
  let text = ''
  let sentAt = Number.NEGATIVE_INFINITY
  yield status('submitted', null, false)
  for await (const update of updates) {
    if (update.kind === 'text') {
      text = update.isFirst ? update.text : text + update.text
      if (performance.now() - sentAt < SPACING_MS) continue
      sentAt = performance.now()
      yield status('working', text, false)
    } else if (update.kind === 'answer') {
      text = update.parts.map((part) => part.text ?? '').join('')
      const files = update.parts.filter(({ inline_data }) => inline_data !== undefined)
      if (files.length > 0)
        yield {
          ...about,
          kind: 'artifact-update',
          artifact: { artifactId: 'files', parts: files.map(referencePart) },
          status: { state: 'working' },
          final: false,
        }
    } else {
      const isLast = update.state !== 'working' || update.note !== null
      if (update.state === 'working' && !isLast) yield status('working', null, false)
      else if (update.state === 'completed') yield status('completed', text, true)
      else yield status(update.state, update.note ?? (text || null), true)
    }
  }
}

const refused = (message: string) => new DomainError('validation-failed', message)
