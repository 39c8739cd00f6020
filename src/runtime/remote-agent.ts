import type { RemoteAgent, RemoteReply } from './a2a/types'
import { lastText } from './conversation'
import type { Member } from './member'
import type { Agent, AgentEvent } from './types'

/** An agent on another server as one of ours: one message there, one event here. The sub-agents follow. */
export function remoteAgent(name: string, remote: RemoteAgent, subAgents: Member[]): Agent {
  return async function* run(context) {
    const { files } = context.input
    // In a sequence it goes on from what was said last, as the others do.
    const text = lastText(context.turn) ?? context.input.text
    const contextId = `${context.sessionId}:${name}`
    const taskId = waitingTask([...context.history, ...context.turn], name)
    const reply = await context.step<RemoteReply>(
      { key: 'remote', kind: 'remote', effect: remote.effect, input: { text, files: files.length } },
      ({ idempotencyKey, signal, emit }) =>
        remote.send(
          { text, files, messageId: idempotencyKey, contextId, taskId },
          { signal, onText: (piece) => emit({ type: 'text', text: piece }) },
        ),
    )
    yield context.event({
      author: name,
      content: { role: 'model', parts: reply.parts },
      ...(reply.inputRequired ? { actions: { input_required: true, remote_task: reply.taskId } } : {}),
    })
    for (const [index, member] of subAgents.entries()) yield* member.run(context.nested(`sub${index}`))
  }
}

/** What it asked for last time it may be told now. */
function waitingTask(events: AgentEvent[], name: string): string | undefined {
  const { input_required, remote_task } = events.findLast(({ author }) => author === name)?.actions ?? {}
  return input_required === true && typeof remote_task === 'string' ? remote_task : undefined
}
