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
