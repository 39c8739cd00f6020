import { AgentCard, type SendMessageRequest, type StreamResponse } from '@a2a-js/sdk'
import { LegacyJsonRpcTransportHandler, V03PushNotificationSerializer } from '@a2a-js/sdk/compat/v0_3/server'
import {
  A2AError,
  RequestMalformedError,
  TaskNotCancelableError,
  TaskNotFoundError,
  UnsupportedOperationError,
  VersionNotSupportedError,
} from '@a2a-js/sdk/errors'
import { type A2ARequestHandler, JsonRpcTransportHandler, ServerCallContext, V1PushNotificationSerializer } from '@a2a-js/sdk/server'
import { DomainError } from '~/platform/errors'
import { checkBytes, readHistoryLength, readPage } from './official-limits'
import { readMessage, readPush, toOfficial, toPush, toUpdate } from './official-shapes'
import { type AgentTask, type AgentTasks, isOver } from './task'

export type OfficialVersion = '0.3' | '1.0'
/** JSON-RPC responses: one, or a stream of them. */
export type OfficialAnswer = object | AsyncGenerator<object, void>

/**
 * Answers a JSON-RPC request of the official protocol; the SDK knows the wire, we know the tasks.
 * @throws DomainError what is no matter of the protocol, such as `rate-limited`; of a stream, before its first event
 */
export async function answerOfficially(
  tasks: AgentTasks,
  body: Record<string, unknown>,
  version: OfficialVersion,
): Promise<OfficialAnswer> {
  let escaped: unknown
  const handler = handlerOf(tasks, body.params, version, (error) => {
    escaped = error
  })
  const transport = version === '1.0' ? new JsonRpcTransportHandler(handler) : new LegacyJsonRpcTransportHandler(handler)
  // JSON-RPC lets a request leave out its params; the SDK refuses that before it looks at the method.
  const call = body.params === undefined ? { ...body, params: {} } : body
  const answer = readable(await transport.handle(call, new ServerCallContext({ requestedVersion: version })), version)
  if (escaped !== undefined) throw escaped
  if (Symbol.asyncIterator in answer) {
    const events = inProtocol(answer, body, version)
    return version === '1.0' ? begun(events) : events
  }
  return version === '0.3' && STREAMS_03.has(String(body.method)) ? alone(answer) : answer
}

const INTERNAL = -32603

/** What fails of ours escapes, so an internal error is the SDK's, over params of other types than it takes for granted, and its words tell of code. */
function readable<A extends object>(answer: A, version: OfficialVersion): A {
  if (!('error' in answer && (answer.error as { code?: unknown }).code === INTERNAL)) return answer
  return { ...answer, error: toError(new RequestMalformedError('The params are not of the types that this method takes.'), version) }
}

const toError = (error: A2AError, version: OfficialVersion) =>
  version === '1.0' ? JsonRpcTransportHandler.mapToJSONRPCError(error) : LegacyJsonRpcTransportHandler.mapToLegacyJSONRPCError(error)

/** Clients of 0.3 take nothing but a stream for an answer to these, and so hear of a refusal as its only event. */
const STREAMS_03 = new Set(['message/stream', 'tasks/resubscribe'])

async function* alone(answer: object): AsyncGenerator<object, void> {
  yield answer
}

/** In 1.0 an error before the first event of a stream is a response of its own; what comes later is one more event. */
async function begun(events: AsyncGenerator<object, void>): Promise<OfficialAnswer> {
  const first = await events.next()
  if (first.done || 'error' in first.value) return first.value ?? events
  return (async function* () {
    yield first.value
    yield* events
  })()
}

async function* inProtocol(events: AsyncGenerator<object, void>, { id = null }: Record<string, unknown>, version: OfficialVersion) {
  try {
    yield* events
  } catch (error) {
    if (!(error instanceof A2AError)) throw error
    yield { jsonrpc: '2.0', id, error: toError(error, version) }
  }
}

/** Of a request in a version that nobody here speaks, in the words of the latest. */
export const unsupportedVersion = () =>
  JsonRpcTransportHandler.mapToJSONRPCError(new VersionNotSupportedError('This version of A2A is not supported; 1.0 and 0.3 are.'))

/** A task's end, as a push notification says it. */
export function serializePush(task: AgentTask, version: OfficialVersion): { body: string; contentType: string } {
  const official = toOfficial(task)
  const serializer = version === '1.0' ? new V1PushNotificationSerializer() : new V03PushNotificationSerializer()
  return serializer.serialize({ payload: { $case: 'task', value: official } }, official)
}

/** `params` are those of the request as they were sent; each operation is given them as the SDK reads them. */
function handlerOf(tasks: AgentTasks, params: unknown, version: OfficialVersion, onEscape: (error: unknown) => void): A2ARequestHandler {
  const guarded = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      const told = toProtocol(error)
      if (!(told instanceof A2AError)) onEscape(error)
      throw told
    }
  }
  /** Version 1.0 is strict about tasks that are over: what follows is a new task, and there is nothing to watch. */
  const demandOpen = async (taskId: string) => {
    if (version === '1.0' && isOver((await tasks.get(taskId)).state)) throw new UnsupportedOperationError('The task is over.')
  }
  /** In 0.3 a request waits unless it says otherwise, as its servers have it; the SDK takes one with a configuration that says nothing for one that does not. */
  const isLeft = ({ configuration }: SendMessageRequest) =>
    version === '1.0' ? configuration?.returnImmediately === true : (params as SentIn03 | undefined)?.configuration?.blocking === false
  const begin = async ({ message, configuration }: SendMessageRequest) => {
    readHistoryLength(configuration?.historyLength)
    checkBytes(params)
    if (message?.taskId) await demandOpen(message.taskId)
    const config = configuration?.taskPushNotificationConfig
    return tasks.send(readMessage(message, config?.url ? readPush(config) : undefined), version)
  }
  const stream = async function* (start: () => Promise<{ id: string; contextId: string }>): AsyncGenerator<StreamResponse, void> {
    try {
      const about = await start()
      const task = await tasks.get(about.id)
      yield { payload: { $case: 'task', value: toOfficial({ ...task, answer: isOver(task.state) ? task.answer : [] }) } }
      if (!isOver(task.state)) for await (const update of tasks.follow(about.id)) yield toUpdate(update, about)
    } catch (error) {
      throw toProtocol(error)
    }
  }

  return {
    getAgentCard: async () => AgentCard.fromJSON(tasks.card),
    getAuthenticatedExtendedAgentCard: async () => AgentCard.fromJSON(tasks.card),
    sendMessage: (request) =>
      guarded(async () => {
        const { id } = await begin(request)
        if (!isLeft(request)) for await (const _ of tasks.follow(id));
        return toOfficial(await tasks.get(id, request.configuration?.historyLength))
      }),
    sendMessageStream: (request) => stream(() => begin(request)),
    resubscribe: ({ id }) =>
      stream(async () => {
        await demandOpen(named(id))
        return tasks.get(id)
      }),
    getTask: ({ id, historyLength }) => guarded(async () => toOfficial(await tasks.get(named(id), readHistoryLength(historyLength)))),
    cancelTask: ({ id }) => guarded(async () => toOfficial(await tasks.cancel(named(id)))),
    listTasks: (request) =>
      guarded(async () => {
        const { limit, page } = readPage(request)
        const found = page === undefined ? { tasks: [], total: 0, next: null } : await tasks.list(page)
        const shown = found.tasks.map((task) => toOfficial(request.includeArtifacts === true ? task : { ...task, answer: [] }))
        return { tasks: shown, nextPageToken: found.next ?? '', pageSize: limit, totalSize: found.total }
      }),
    createTaskPushNotificationConfig: (config) =>
      guarded(async () => {
        const target = readPush(config)
        await tasks.setPush(named(config.taskId), target, version)
        return toPush(target, config.taskId)
      }),
    getTaskPushNotificationConfig: ({ taskId, id }) =>
      guarded(async () => {
        const targets = await tasks.listPush(named(taskId))
        const target = id === '' ? targets[0] : targets.find((one) => one.id === id)
        if (target === undefined) throw new TaskNotFoundError('There is no such push notification config.')
        return toPush(target, taskId)
      }),
    listTaskPushNotificationConfigs: ({ taskId }) =>
      guarded(async () => ({ configs: (await tasks.listPush(named(taskId))).map((target) => toPush(target, taskId)), nextPageToken: '' })),
    deleteTaskPushNotificationConfig: ({ taskId, id }) => guarded(async () => void (await tasks.deletePush(named(taskId), named(id)))),
  }
}

/** Params of `message/send`. */
type SentIn03 = { configuration?: { blocking?: unknown } }

/** An id that is missing is an empty one to the SDK in 1.0, and not there in 0.3, whatever its types say. */
function named(id: string): string {
  if (!id) throw new DomainError('validation-failed', 'The id is missing.')
  return id
}

/** What the protocol has a word for, in its words; anything else as it is. */
function toProtocol(error: unknown): unknown {
  if (!(error instanceof DomainError)) return error
  switch (error.problem) {
    case 'not-found':
      return new TaskNotFoundError(error.message)
    case 'conflict':
      return new TaskNotCancelableError(error.message)
    case 'validation-failed':
    case 'malformed-request':
    case 'url-not-allowed':
      return new RequestMalformedError(error.message)
    default:
      return error
  }
}
