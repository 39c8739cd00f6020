import { DomainError } from '~/platform/errors'
import type { AgentTasks, PushTarget } from '~/runtime/a2a/task'
import { type AgentFacts, extendedCard } from './card'
import { type Params, readParams, readPush, readTask, referenceEvents, referenceTask, showPush } from './reference-shapes'
import type { RpcCall } from './rpc-call'

/** The reference answers some errors with HTTP 400, and others with 200. */
export interface ReferenceAnswer {
  status: number
  body: Record<string, unknown>
}

const METHODS = [
  'message/send',
  'message/stream',
  'tasks/get',
  'tasks/cancel',
  'tasks/resubscribe',
  'tasks/pushNotificationConfig/set',
  'tasks/pushNotificationConfig/get',
  'agent/authenticatedExtendedCard',
]

type Caller = AgentTasks & { agent: AgentFacts }

/** Answers a JSON-RPC request of the reference's dialect. @throws DomainError what the dialect has no code for, such as `rate-limited` */
export async function answerReference(
  tasks: Caller,
  body: RpcCall,
  apiUrl: string,
): Promise<ReferenceAnswer | AsyncGenerator<object, void>> {
  const { method, params, id = null } = body
  const failed = (status: number, code: number, message: string, data?: object): ReferenceAnswer => ({
    status,
    body: { jsonrpc: '2.0', id, error: { code, message, ...(data === undefined ? {} : { data }) } },
  })
  if (!METHODS.includes(method)) return failed(400, -32601, 'Method not found', { supported_methods: METHODS })
  try {
    const read = readParams(params)
    if (method === 'message/stream') {
      const about = await tasks.send(readTask(read), 'reference')
      return inEnvelopes(referenceEvents(tasks.follow(about.id), about), id)
    }
    if (method === 'tasks/resubscribe') {
      const about = await subscribe(tasks, read)
      return inEnvelopes(referenceEvents(tasks.follow(about.id), about), id)
    }
    return { status: 200, body: { jsonrpc: '2.0', id, result: await call(tasks, method, read, apiUrl) } }
  } catch (error) {
    const code = error instanceof DomainError ? CODES[error.problem] : undefined
    if (code === undefined || !(error instanceof DomainError)) throw error
    return failed(200, code, error.message)
  }
}

const CODES: Partial<Record<DomainError['problem'], number>> = {
  'validation-failed': -32602,
  'malformed-request': -32602,
  'url-not-allowed': -32602,
  'not-found': -32001,
  conflict: -32002,
}

async function call(tasks: Caller, method: string, params: Params, apiUrl: string): Promise<unknown> {
  switch (method) {
    case 'message/send': {
      const { id } = await tasks.send(readTask(params), 'reference')
      for await (const _ of tasks.follow(id));
      return referenceTask(await tasks.get(id, params.configuration?.historyLength))
    }
    case 'tasks/get':
      return referenceTask(await tasks.get(taskIdOf(params)))
    case 'tasks/cancel': {
      const task = referenceTask(await tasks.cancel(taskIdOf(params)))
      return { ...task, success: true, message: `Task ${taskIdOf(params)} is canceled` }
    }
    case 'tasks/pushNotificationConfig/set': {
      const target = await setPush(tasks, params)
      // The second half is what clients of 0.3 read, most of which do not name their version.
      return { success: true, taskId: taskIdOf(params), pushNotificationConfig: showPush(target) }
    }
    case 'tasks/pushNotificationConfig/get': {
      const [target] = await tasks.listPush(taskIdOf(params))
      if (target === undefined) throw new DomainError('not-found', 'The task has no push notification config')
      return { taskId: taskIdOf(params), pushNotificationConfig: showPush(target) }
    }
    default:
      return extendedCard(tasks.agent, apiUrl)
  }
}

async function subscribe(tasks: Caller, params: Params): Promise<{ id: string; contextId: string }> {
  const { id, contextId } = await tasks.get(taskIdOf(params))
  if (readPush(params) !== undefined) await setPush(tasks, params)
  return { id, contextId }
}

async function setPush(tasks: Caller, params: Params): Promise<PushTarget> {
  const target = readPush(params)
  if (target === undefined) throw new DomainError('validation-failed', 'pushNotificationConfig needs a url')
  await tasks.setPush(taskIdOf(params), target, 'reference')
  return target
}

function taskIdOf({ taskId, id }: Params): string {
  const found = taskId ?? id
  if (found === undefined) throw new DomainError('validation-failed', 'taskId is required')
  return found
}

async function* inEnvelopes(results: AsyncIterable<object>, id: unknown) {
  for await (const result of results) yield { jsonrpc: '2.0', id, result }
}
