import {
  type Artifact,
  type Message,
  type Part as OfficialPart,
  TaskState as OfficialState,
  Role,
  type StreamResponse,
  type Task,
  type TaskPushNotificationConfig,
  type TaskStatus,
} from '@a2a-js/sdk'
import { DomainError } from '~/platform/errors'
import type { Part } from '../types'
import type { AgentTask, NewTask, PushTarget, TaskMessage, TaskState, TaskUpdate } from './task'

/** Between our words and those of the official protocol, version 1.0; the SDK itself translates on to 0.3. */

const STATES: Record<TaskState, OfficialState> = {
  submitted: OfficialState.TASK_STATE_SUBMITTED,
  working: OfficialState.TASK_STATE_WORKING,
  completed: OfficialState.TASK_STATE_COMPLETED,
  failed: OfficialState.TASK_STATE_FAILED,
  canceled: OfficialState.TASK_STATE_CANCELED,
}

/** Undefined for states that no task of ours has. */
export const readState = (state: OfficialState): TaskState | undefined =>
  (Object.keys(STATES) as TaskState[]).find((name) => STATES[name] === state)

export const ANSWER = 'answer'

export function toOfficial(task: AgentTask): Task {
  return {
    id: task.id,
    contextId: task.contextId,
    status: toStatus(task.state, task.note, task.at),
    artifacts: task.answer.length === 0 ? [] : [toArtifact(task.answer)],
    history: task.history.map((message) => toMessage(message, task)),
    metadata: undefined,
  }
}

export function toUpdate(update: TaskUpdate, { id: taskId, contextId }: { id: string; contextId: string }): StreamResponse {
  const about = { taskId, contextId, metadata: undefined }
  switch (update.kind) {
    case 'status':
      return { payload: { $case: 'statusUpdate', value: { ...about, status: toStatus(update.state, update.note, new Date()) } } }
    case 'text': {
      const artifact = toArtifact([{ text: update.text }])
      return { payload: { $case: 'artifactUpdate', value: { ...about, artifact, append: !update.isFirst, lastChunk: false } } }
    }
    case 'answer':
      return {
        payload: { $case: 'artifactUpdate', value: { ...about, artifact: toArtifact(update.parts), append: false, lastChunk: true } },
      }
  }
}

const toStatus = (state: TaskState, note: string | null, at: Date): TaskStatus => ({
  state: STATES[state],
  message:
    note === null
      ? undefined
      : { ...EMPTY_MESSAGE, messageId: crypto.randomUUID(), role: Role.ROLE_AGENT, parts: [toPart({ text: note })] },
  timestamp: at.toISOString(),
})

const EMPTY_MESSAGE = { contextId: '', taskId: '', metadata: undefined, extensions: [], referenceTaskIds: [] }

const toMessage = ({ id, role, parts }: TaskMessage, task: AgentTask): Message => ({
  ...EMPTY_MESSAGE,
  messageId: id,
  taskId: task.id,
  contextId: task.contextId,
  role: role === 'user' ? Role.ROLE_USER : Role.ROLE_AGENT,
  parts: parts.map(toPart),
})

const toArtifact = (parts: Part[]): Artifact => ({
  artifactId: ANSWER,
  name: ANSWER,
  description: '',
  parts: parts.map(toPart),
  metadata: undefined,
  extensions: [],
})

function toPart({ text, inline_data }: Part): OfficialPart {
  if (inline_data === undefined)
    return { content: { $case: 'text', value: text ?? '' }, metadata: undefined, filename: '', mediaType: 'text/plain' }
  return {
    content: { $case: 'raw', value: Buffer.from(inline_data.data, 'base64') },
    metadata: undefined,
    filename: inline_data.metadata?.filename ?? '',
    mediaType: inline_data.mime_type,
  }
}

/** @throws DomainError `validation-failed` */
export function readMessage(message: Message | undefined, push: PushTarget | undefined): NewTask {
  if (message === undefined || message.messageId === '') throw refused('The message needs a messageId.')
  if (message.role !== Role.ROLE_USER) throw refused('The role of the message must be user.')
  const texts: string[] = []
  const files: NewTask['files'] = []
  for (const { content, filename, mediaType } of message.parts) {
    if (content?.$case === 'text') texts.push(content.value)
    else if (content?.$case === 'data') texts.push(JSON.stringify(content.value))
    else if (content?.$case === 'raw')
      files.push({
        type: 'file',
        mediaType: mediaType || 'application/octet-stream',
        data: Buffer.from(content.value).toString('base64'),
        ...(filename === '' ? {} : { filename }),
      })
    else throw refused('Send the bytes of a file: it is not fetched from an address.')
  }
  const text = texts.join('\n')
  if (text === '' && files.length === 0) throw refused('The message has neither text nor files.')
  return { messageId: message.messageId, contextId: message.contextId || undefined, taskId: message.taskId || undefined, text, files, push }
}

export function readPush(config: TaskPushNotificationConfig): PushTarget {
  const { url, token = '', authentication } = config
  const { scheme = '', credentials = '' } = authentication ?? {}
  if (![url, token, scheme, credentials].every((value) => typeof value === 'string'))
    throw refused('A push notification config is made of texts.')
  const isBearer = scheme.toLowerCase() === 'bearer' || scheme.toLowerCase() === 'basic'
  if (authentication !== undefined && !isBearer) throw refused('Push notifications can be authenticated with the schemes Bearer and Basic.')
  return {
    id: config.id || crypto.randomUUID(),
    url,
    token: token || undefined,
    headers: isBearer ? { authorization: `${scheme} ${credentials}` } : {},
    shown: authentication === undefined ? {} : { scheme },
  }
}

/** Credentials are not shown again. */
export const toPush = ({ id, url, token, shown }: PushTarget, taskId: string): TaskPushNotificationConfig => ({
  tenant: '',
  id,
  taskId,
  url,
  token: token ?? '',
  authentication: typeof shown.scheme === 'string' ? { scheme: shown.scheme, credentials: '' } : undefined,
})

const refused = (message: string) => new DomainError('validation-failed', message)
