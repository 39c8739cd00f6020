import type { RemoteAgent, RemoteReply } from './a2a/types'
import { lastText } from './conversation'
import type { Member } from './member'
import type { Agent } from './types'

/** An agent on another server as one of ours: one message there, one event here. The sub-agents follow. */
export function remoteAgent(name: string, remote: RemoteAgent, subAgents: Member[]): Agent {
  return async function* run(context) {
    const { files } = context.input
    // In a sequence it goes on from what was said last, as the others do.
    const text = lastText(context.turn) ?? context.input.text
    const contextId = `${context.sessionId}:${name}`
    const reply = await context.step<RemoteReply>(
      { key: 'remote', kind: 'remote', effect: remote.effect, input: { text, files: files.length } },
      ({ idempotencyKey, signal, emit }) =>
        remote.send(
          { text, files, messageId: idempotencyKey, contextId },
          { signal, onText: (piece) => emit({ type: 'text', text: piece }) },
        ),
    )
    yield context.event({
      author: name,
      content: { role: 'model', parts: reply.parts },
      ...(reply.inputRequired ? { actions: { input_required: true } } : {}),
    })
    for (const [index, member] of subAgents.entries()) yield* member.run(context.nested(`sub${index}`))
  }
}
