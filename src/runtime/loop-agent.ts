import type { Member } from './member'
import type { Agent, SaidEvent } from './types'

/** The members in sequence, again and again, until one of them escalates or the limit is reached. */
export function loopAgent(members: Member[], maxIterations: number): Agent {
  return async function* run(context) {
    for (let iteration = 1; iteration <= maxIterations; iteration++)
      for (const [index, member] of members.entries()) {
        let escalated = false
        for await (const event of member.run(context.nested(`${iteration}.${index}`, { mayEscalate: true }))) {
          yield event
          escalated ||= escalates(event)
        }
        if (escalated) return
      }
  }
}

const escalates = ({ actions }: SaidEvent) => actions?.escalate === true
