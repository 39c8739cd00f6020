import type { Agent } from './types'

/** An agent as a part of another one. */
export interface Member {
  name: string
  description: string
  run: Agent
  /** Somebody has to allow it before it runs as a tool or as a step of a workflow. */
  requiresApproval: boolean
}

/** The member of that id. @throws DomainError `not-found` when it is gone, or another client's. */
export type LoadMember = (agentId: string) => Promise<Member>

/** A model chooses by name, and providers refuse a choice between equal ones: the second `guide` is its `guide_2`. */
export function toldApart(members: Member[]): Member[] {
  const taken = new Set(members.map(({ name }) => name))
  const seen = new Set<string>()
  return members.map((member) => {
    let { name } = member
    for (let number = 2; seen.has(name); number++) if (!taken.has(`${member.name}_${number}`)) name = `${member.name}_${number}`
    seen.add(name)
    return { ...member, name }
  })
}
