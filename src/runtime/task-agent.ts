import type { Member } from './member'
import type { Agent } from './types'

export interface Task {
  member: Member
  /** `{content}` stands for what the user said. */
  description: string
  expectedOutput: string
  /** The only tools that the agent may use for it; empty: all it has. */
  enabledTools: readonly string[]
}

/** Gives each task to its agent, in order; each hears what came of those before it. The sub-agents follow when all tasks are done. */
export function taskAgent(name: string, tasks: Task[], subAgents: Member[]): Agent {
  return async function* run(context) {
    yield context.event(says(name, `Starting ${name} task processing...`))
    for (const [index, { member, enabledTools, ...task }] of tasks.entries()) {
      const instructions = instructionsOf(task, context.input.text)
      yield context.event({
        ...says(`${name} - Task executor`, instructions),
        actions: { state_delta: { task_instructions: instructions } },
      })
      yield* member.run(context.nested(`task${index}`, enabledTools.length > 0 ? { enabledTools } : {}))
    }
    for (const [index, member] of subAgents.entries()) yield* member.run(context.nested(`sub${index}`))
  }
}

const says = (author: string, text: string) => ({ author, content: { role: 'model' as const, parts: [{ text }] } })

const instructionsOf = ({ description, expectedOutput }: Pick<Task, 'description' | 'expectedOutput'>, asked: string) =>
  `<task><instructions>Execute the following task:</instructions><description>${description.replaceAll('{content}', () => asked)}</description>` +
  `<expected_output>${expectedOutput}</expected_output></task>`
