import type { Config } from '~/config'
import { createAgentService } from '~/features/agents/service'
import { createMcpToolService } from '~/features/mcp-tools/service'
import { createProviderKeyService } from '~/features/provider-keys/service'
import type { Machinery } from './machinery'

export type Definitions = ReturnType<typeof createDefinitions>

/** What a client defines. */
export function createDefinitions(config: Config, { db, write, secrets, outbound }: Machinery) {
  const agents = createAgentService({ db, write, secrets, outbound, apiUrl: config.apiUrl })
  return {
    providerKeys: createProviderKeyService({ db, write, secrets }),
    agents,
    mcpTools: createMcpToolService({ db, write, agents }),
  }
}
