import type { Member } from './member'
import type { Agent } from './types'

/** One after the other on the same session: each hears what those before it said. */
export function sequentialAgent(members: Member[]): Agent {
  return async function* run(context) {
    for (const [index, member] of members.entries()) yield* member.run(context.nested(String(index)))
  }
}
