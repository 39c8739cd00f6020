import type { AgentService } from '~/features/agents/service'
import { authorizeReach } from '~/platform/access'
import type { Db } from '~/platform/db'
import { invalid } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import type { Principal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import { acceptOffered, countTools, listTools, type ToolRow } from './queries'
import type { Acceptance, McpToolState } from './schema'

export type McpToolService = ReturnType<typeof createMcpToolService>

/** What the MCP servers of an agent offered, and what its owner makes of it. */
export function createMcpToolService({ db, write, agents }: { db: Db; write: Write; agents: AgentService }) {
  return {
    async list(principal: Principal, agentId: string, page: Page): Promise<{ items: McpToolState[]; total: number }> {
      const { client_id: clientId } = await agents.find(authorizeReach(principal, 'read', 'agents'), agentId)
      const [rows, total] = await Promise.all([listTools(db, { clientId, agentId }, page), countTools(db, { clientId, agentId })])
      return { items: rows.map(show), total }
    },

    /** All of them or none. @throws DomainError `validation-failed` for a definition that does not wait: it may have changed again meanwhile. */
    async accept(principal: Principal, agentId: string, { tools }: Acceptance): Promise<{ accepted: number }> {
      const { client_id: clientId } = await agents.find(authorizeReach(principal, 'write', 'agents'), agentId)
      return write(principal, async ({ tx, audit }) => {
        for (const [index, { server_key: serverKey, name, hash }] of tools.entries())
          if (!(await acceptOffered(tx, { clientId, agentId }, { serverKey, name, hash })))
            throw invalid(`/tools/${index}/hash`, 'not-found', 'No such definition of this tool waits to be accepted')
        audit({
          action: 'accept',
          resourceType: 'mcp_tool',
          resourceId: agentId,
          clientId,
          details: { tools: tools.map(({ server_key, name, hash }) => ({ server_key, name, hash })) },
        })
        return { accepted: tools.length }
      })
    },
  }
}

const show = ({ accepted_hash: _, ...row }: ToolRow): McpToolState => ({
  ...row,
  state: row.offered === null ? 'accepted' : row.accepted === null ? 'new' : 'changed',
})
