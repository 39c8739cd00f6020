import type { Config } from '~/config'
import { createAgentService } from '~/features/agents/service'
import { createAgentSharing } from '~/features/agents/sharing/service'
import { createAgentTransferService } from '~/features/agents/transfer/service'
import { createAgentVersionService } from '~/features/agents/versions/service'
import { createContactService } from '~/features/contacts/service'
import { createFolderService } from '~/features/folders/service'
import { createMcpServerService } from '~/features/mcp-servers/service'
import { createMcpToolService } from '~/features/mcp-tools/service'
import { createProviderKeyService } from '~/features/provider-keys/service'
import { createToolService } from '~/features/tools/service'
import type { DiscoverTools } from '~/runtime/mcp/types'
import type { Machinery } from './machinery'

export type Definitions = ReturnType<typeof createDefinitions>

/** What a client defines. */
export function createDefinitions(
  config: Config,
  { db, write, secrets, outbound, definitions }: Machinery,
  { discoverTools }: { discoverTools: DiscoverTools },
) {
  const tools = createToolService({ db, write, outbound, definitions })
  const agents = createAgentService({ db, write, secrets, outbound, tools, definitions, apiUrl: config.apiUrl })
  const folders = createFolderService({ db, write })
  return {
    providerKeys: createProviderKeyService({ db, write, secrets }),
    agents,
    agentSharing: createAgentSharing({ db, write, secrets, apiUrl: config.apiUrl }),
    agentVersions: createAgentVersionService({ db, agents }),
    agentTransfer: createAgentTransferService({ db, write, agents, folders }),
    folders,
    contacts: createContactService({ db, write }),
    mcpServers: createMcpServerService({ db, write, outbound, discoverTools, commands: config.mcp.commands }),
    tools,
    mcpTools: createMcpToolService({ db, write, agents }),
  }
}
