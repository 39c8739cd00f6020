import { type Message, type Part as OfficialPart, Role, type StreamResponse, type Task, TaskState, type TaskStatus } from '@a2a-js/sdk'
import { type Client, ClientFactory, DefaultAgentCardResolver, JsonRpcTransportFactory, RestTransportFactory } from '@a2a-js/sdk/client'
import { TaskNotFoundError, UnsupportedOperationError } from '@a2a-js/sdk/errors'
import { DomainError } from '~/platform/errors'
import type { Part } from '../types'
import type { Line } from './remote'
import { createRemoteAnswer, type RemoteAnswer } from './remote-answer'
import type { RemoteMessage, RemoteReply } from './types'

const POLL_MS = 1000
/** How long a server that has taken a message may be out of reach. */
const PATIENCE_MS = 30_000

/**
 * In the words of A2A 1.0, or of 0.3 where the card has no better. A task that the other side has dropped or ended meanwhile waits for nothing: the
 * message then begins one of its own. @throws what the SDK throws
 */
export async function sendOfficially(line: Line, message: RemoteMessage, onText: (piece: string) => void): Promise<RemoteReply> {
  try {
    return await sendOnce(line, message, onText)
  } catch (error) {
    const isOver = error instanceof TaskNotFoundError || error instanceof UnsupportedOperationError
    if (message.taskId === undefined || !isOver) throw error
    return sendOnce(line, { ...message, taskId: undefined }, onText)
  }
}

async function sendOnce(
  { fetch: call, card, signal }: Line,
  message: RemoteMessage,
  onText: (piece: string) => void,
): Promise<RemoteReply> {
  // The SDK asks for the type of the global fetch, which has members that nobody calls.
  const options = { fetchImpl: call as typeof fetch, legacyCompat: { enabled: true } }
  const read = new DefaultAgentCardResolver(options).normalizeAgentCard(card)
  const factory = new ClientFactory({ transports: [new JsonRpcTransportFactory(options), new RestTransportFactory(options)] })
  const client = await factory.createFromAgentCard(read)
  const answer = createRemoteAnswer(onText)
  const request = {
    tenant: '',
    metadata: undefined,
    configuration: { acceptedOutputModes: [], taskPushNotificationConfig: undefined, returnImmediately: false },
    message: toMessage(message),
  }
  let taskId: string | undefined
  const reply = (): RemoteReply => {
    const said = answer.reply()
    return said.inputRequired ? { ...said, taskId } : said
  }
  if (read.capabilities?.streaming === true) {
    const stream = untilCutOff(client.sendMessageStream(request, { signal }), () => taskId !== undefined)
    for await (const event of stream) {
      taskId = taskIdOf(event) ?? taskId
      if (take(answer, event)) return reply()
    }
  } else {
    const result = await client.sendMessage(request, { signal })
    if ('messageId' in result) {
      answer.said(result.parts.map(readPart))
      return reply()
    }
    taskId = result.id
    if (takeTask(answer, result)) return reply()
  }
  await waitForEnd(client, taskId, answer, signal)
  return reply()
}

/** A stream that breaks off behind the name of its task ends like one that is over too early: the task goes on without it, and can be asked for. */
async function* untilCutOff(events: AsyncIterable<StreamResponse>, isTask: () => boolean): AsyncGenerator<StreamResponse, void> {
  try {
    yield* events
  } catch (error) {
    if (!isTask() || !mayPass(error)) throw error
  }
}

/** The other side has taken the message, but has not said how it ended: it is asked until it does, also where it is away for a moment. */
async function waitForEnd(client: Client, taskId: string | undefined, answer: RemoteAnswer, signal: AbortSignal): Promise<void> {
  if (taskId === undefined) throw new DomainError('upstream-error', 'The remote agent has ended its answer without a result.')
  let answeredAt = performance.now()
  for (;;) {
    signal.throwIfAborted()
    const task = await client.getTask({ tenant: '', id: taskId }, { signal }).catch((error) => {
      if (signal.aborted || !mayPass(error) || performance.now() - answeredAt >= PATIENCE_MS) throw error
    })
    if (task !== undefined) {
      answeredAt = performance.now()
      if (takeTask(answer, task)) return
    }
    await pause(POLL_MS, signal)
  }
}

/** Not what the other side says of the task, nor our own limits. */
const mayPass = (error: unknown) =>
  error instanceof DomainError ? error.problem === 'upstream-error' && error.cause !== undefined : !(error instanceof TaskNotFoundError)

const pause = (ms: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(done, ms)
    function done() {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    signal.addEventListener('abort', done, { once: true })
  })

const taskIdOf = ({ payload }: StreamResponse): string | undefined => {
  if (payload?.$case === 'task') return payload.value.id
  return payload?.$case === 'statusUpdate' || payload?.$case === 'artifactUpdate' ? payload.value.taskId : undefined
}

/** True with the last word. */
function take(answer: RemoteAnswer, { payload }: StreamResponse): boolean {
  switch (payload?.$case) {
    case 'message':
      answer.said(payload.value.parts.map(readPart))
      return true
    case 'task':
      return takeTask(answer, payload.value)
    case 'statusUpdate':
      return takeStatus(answer, payload.value.status)
    case 'artifactUpdate': {
      const { artifact, append } = payload.value
      if (artifact !== undefined) answer.artifact(artifact.artifactId, artifact.parts.map(readPart), append)
      return false
    }
    default:
      return false
  }
}

function takeTask(answer: RemoteAnswer, { artifacts, status }: Task): boolean {
  for (const { artifactId, parts } of artifacts) answer.artifact(artifactId, parts.map(readPart), false)
  return takeStatus(answer, status)
}

function takeStatus(answer: RemoteAnswer, status: TaskStatus | undefined): boolean {
  if (status?.message !== undefined) answer.said(status.message.parts.map(readPart))
  return answer.state(NAMES[status?.state ?? TaskState.TASK_STATE_UNSPECIFIED] ?? 'unknown')
}

const NAMES: Partial<Record<TaskState, string>> = {
  [TaskState.TASK_STATE_COMPLETED]: 'completed',
  [TaskState.TASK_STATE_FAILED]: 'failed',
  [TaskState.TASK_STATE_CANCELED]: 'canceled',
  [TaskState.TASK_STATE_REJECTED]: 'rejected',
  [TaskState.TASK_STATE_INPUT_REQUIRED]: 'input-required',
  [TaskState.TASK_STATE_AUTH_REQUIRED]: 'auth-required',
}

const toMessage = ({ messageId, contextId, taskId, text, files }: RemoteMessage): Message => ({
  messageId,
  // The other side may have given the task another context than ours, and knows which.
  contextId: taskId === undefined ? contextId : '',
  taskId: taskId ?? '',
  role: Role.ROLE_USER,
  parts: [
    ...(text === '' ? [] : [partOf({ $case: 'text', value: text })]),
    ...files.map(({ data, mediaType, filename = '' }) => ({
      ...partOf({ $case: 'raw', value: Buffer.from(data, 'base64') }),
      mediaType,
      filename,
    })),
  ],
  metadata: undefined,
  extensions: [],
  referenceTaskIds: [],
})

const partOf = (content: NonNullable<OfficialPart['content']>): OfficialPart => ({
  content,
  metadata: undefined,
  filename: '',
  mediaType: content.$case === 'text' ? 'text/plain' : '',
})

function readPart({ content, mediaType, filename }: OfficialPart): Part {
  switch (content?.$case) {
    case 'text':
      return { text: content.value }
    case 'raw':
      return {
        inline_data: {
          data: Buffer.from(content.value).toString('base64'),
          mime_type: mediaType || 'application/octet-stream',
          ...(filename === '' ? {} : { metadata: { filename } }),
        },
      }
    case 'data':
      return { text: JSON.stringify(content.value) }
    // Not fetched: it may lead anywhere.
    case 'url':
      return { text: content.value }
    default:
      return { text: '' }
  }
}
