import { AgentCard, Role, TaskState } from '@a2a-js/sdk'
import { LegacyJsonRpcTransportHandler } from '@a2a-js/sdk/compat/v0_3/server'
import {
  AgentEvent,
  type AgentExecutor,
  DefaultRequestHandler,
  type ExecutionEventBus,
  InMemoryTaskStore,
  JsonRpcTransportHandler,
  type RequestContext,
  ServerCallContext,
} from '@a2a-js/sdk/server'

/** An agent built with the official SDK, on a port of its own, in one version of the protocol. */
export interface RemotePeer {
  url: string
  cardUrl: string
  card: Record<string, unknown>
  calls: { method: string; headers: Headers; contextId: string; messageId: string; taskId: string }[]
  stop(): Promise<void>
}

const part = (value: string) => ({ content: { $case: 'text' as const, value }, metadata: undefined, filename: '', mediaType: 'text/plain' })
const message = (text: string) => ({
  messageId: crypto.randomUUID(),
  contextId: '',
  taskId: '',
  role: Role.ROLE_AGENT,
  parts: [part(text)],
  metadata: undefined,
  extensions: [],
  referenceTaskIds: [],
})

/** Answers in two chunks; `fail` fails, `ask` asks back, `hang` never ends, `drop` breaks the connection before the second one and goes on. */
class Parrot implements AgentExecutor {
  async execute({ taskId, contextId, userMessage }: RequestContext, bus: ExecutionEventBus) {
    const text = userMessage.parts.map(({ content }) => (content?.$case === 'text' ? content.value : '')).join('')
    const status = (state: TaskState, said?: string) => ({
      state,
      message: said === undefined ? undefined : message(said),
      timestamp: new Date().toISOString(),
    })
    const about = { taskId, contextId, metadata: undefined }
    const task = { id: taskId, contextId, artifacts: [], history: [userMessage], metadata: undefined }
    bus.publish(AgentEvent.task({ ...task, status: status(TaskState.TASK_STATE_WORKING) }))
    if (text === 'hang') return
    const end = (state: TaskState, said?: string) => bus.publish(AgentEvent.statusUpdate({ ...about, status: status(state, said) }))
    if (text === 'fail') end(TaskState.TASK_STATE_FAILED, 'the parrot is ill')
    else if (text === 'ask') end(TaskState.TASK_STATE_INPUT_REQUIRED, 'which one?')
    else {
      for (const [index, chunk] of ['Parrot: ', text].entries()) {
        if (text === 'drop') await Bun.sleep(300)
        const artifact = { artifactId: 'a', name: '', description: '', parts: [part(chunk)], metadata: undefined, extensions: [] }
        bus.publish(AgentEvent.artifactUpdate({ ...about, artifact, append: index > 0, lastChunk: index === 1 }))
      }
      end(TaskState.TASK_STATE_COMPLETED)
    }
    bus.finished()
  }
  async cancelTask() {}
}

export function startRemoteAgent(version: '1.0' | '0.3', { streaming = true } = {}): RemotePeer {
  const calls: RemotePeer['calls'] = []
  let handler: JsonRpcTransportHandler | LegacyJsonRpcTransportHandler
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const body = (await request.json()) as {
        id: unknown
        method: string
        params: { message?: { contextId: string; messageId: string; taskId?: string; parts: { text?: string }[] } }
      }
      const { contextId = '', messageId = '', taskId = '' } = body.params.message ?? {}
      calls.push({ method: body.method, headers: request.headers, contextId, messageId, taskId })
      const answer = await handler.handle(body as unknown as Record<string, unknown>, new ServerCallContext({ requestedVersion: version }))
      if (!(Symbol.asyncIterator in answer)) return Response.json(answer)
      const events = answer as AsyncGenerator<object>
      // As the SDK's own servers do: what is refused before anything is said is no stream.
      const first = await events.next().catch((error: unknown) => refused(body, error))
      if (first instanceof Response) return first
      const isCut = body.params.message?.parts.some(({ text }) => text === 'drop') === true
      return new Response(
        (async function* () {
          if (first.done !== true) yield `data: ${JSON.stringify(first.value)}\n\n`
          for (;;) {
            const { done, value } = await events.next()
            if (done) return
            yield `data: ${JSON.stringify(value)}\n\n`
            if (!isCut) continue
            void Array.fromAsync(events)
            throw new Error('the connection breaks')
          }
        })() as unknown as ReadableStream,
        { headers: { 'content-type': 'text/event-stream' } },
      )
    },
  })
  const refused = ({ id }: { id: unknown }, reason: unknown) => {
    const map = version === '1.0' ? JsonRpcTransportHandler.mapToJSONRPCError : LegacyJsonRpcTransportHandler.mapToLegacyJSONRPCError
    return Response.json({ jsonrpc: '2.0', id, error: map(reason) })
  }
  const url = `http://127.0.0.1:${server.port}/rpc`
  const shared = {
    name: 'Parrot',
    description: 'Repeats',
    version: '1.0.0',
    capabilities: { streaming },
    defaultInputModes: ['text/plain'],
    defaultOutputModes: ['text/plain'],
    skills: [],
  }
  const official = { ...shared, supportedInterfaces: [{ url, protocolBinding: 'JSONRPC', protocolVersion: version }] }
  const requests = new DefaultRequestHandler(AgentCard.fromJSON(official), new InMemoryTaskStore(), new Parrot())
  handler = version === '1.0' ? new JsonRpcTransportHandler(requests) : new LegacyJsonRpcTransportHandler(requests)
  return {
    url,
    cardUrl: `http://127.0.0.1:${server.port}/.well-known/agent.json`,
    card: version === '1.0' ? official : { ...shared, url, protocolVersion: '0.3.0', preferredTransport: 'JSONRPC' },
    calls,
    stop: () => server.stop(true),
  }
}
