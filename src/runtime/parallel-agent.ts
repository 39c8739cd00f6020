import { DomainError } from '~/platform/errors'
import type { Member } from './member'
import { merge } from './merge'
import type { Agent, RunContext, SaidEvent } from './types'

/** All at once, each in a branch of its own that does not hear the others. */
export function parallelAgent(name: string, members: Member[]): Agent {
  return (context) =>
    inBranches(
      context,
      members.map((member, index) => ({ segment: String(index), branch: `${name}.${member.name}`, run: member.run })),
    )
}

export interface Branch {
  /** Unique among the branches of one context. */
  segment: string
  branch: string
  run: Agent
}

/**
 * Runs branches beside each other. Events come as they are said; who comes after hears them branch by branch, so that it hears the same at every
 * execution.
 */
export async function* inBranches(context: RunContext, branches: Branch[]): AsyncGenerator<SaidEvent, void> {
  if (branches.length > context.limits.maxFanOut)
    throw new DomainError('limit-exceeded', `More than ${context.limits.maxFanOut} branches at the same time.`)
  const others = new AbortController()
  const signal = AbortSignal.any([context.signal, others.signal])
  const parts = branches.map(({ segment, branch }) =>
    context.nested(segment, { isolated: true, branch: context.branch === undefined ? branch : `${context.branch}.${branch}`, signal }),
  )
  const before = context.turn.length
  yield* merge(
    branches.map(({ run }, index) => run(parts[index] as RunContext)),
    (reason) => others.abort(reason),
  )
  context.turn.push(...parts.flatMap(({ turn }) => turn.slice(before)))
}
