import type { Config } from '~/config'
import { createDrafts } from '~/features/agents/drafts'
import { createAgentService } from '~/features/agents/service'
import { createAgentSharing } from '~/features/agents/sharing/service'
import { createAgentTransferService } from '~/features/agents/transfer/service'
import { createAgentValidation } from '~/features/agents/validation/service'
import { createFindWarnings } from '~/features/agents/validation/warnings'
import { createAgentVersionService } from '~/features/agents/versions/service'
import { createContactService } from '~/features/contacts/service'
import { createFolderService } from '~/features/folders/service'
import { createMcpServerService } from '~/features/mcp-servers/service'
import { createMcpToolService } from '~/features/mcp-tools/service'
import { createProviderKeyService } from '~/features/provider-keys/service'
import { deleteSessionsOf } from '~/features/sessions/queries'
import { createToolService } from '~/features/tools/service'
import type { DiscoverTools } from '~/runtime/mcp/types'
import { createCheckKey } from '~/runtime/model/check-key'
import type { Machinery } from './machinery'

const KEY_CHECK_MS = 10_000

export type Definitions = ReturnType<typeof createDefinitions>

/** What a client defines. */
export function createDefinitions(
  config: Config,
  { db, write, secrets, clock, outbound, definitions, prices, operatorKeys }: Machinery,
  { discoverTools }: { discoverTools: DiscoverTools },
) {
  const tools = createToolService({ db, write, secrets: secrets.platform, outbound, definitions })
  const mcpServers = createMcpServerService({
    db,
    write,
    secrets: secrets.platform,
    outbound,
    discoverTools,
    commands: config.mcp.commands,
    startsCommands: config.mcp.stdio && config.mcp.runnerUrl !== undefined,
  })
  const drafts = createDrafts({ db, outbound })
  const agents = createAgentService({ db, write, secrets, outbound, drafts, tools, definitions, deleteSessionsOf, apiUrl: config.apiUrl })
  const findWarnings = createFindWarnings({
    outbound,
    prices,
    operatorKeys,
    serverFaults: mcpServers.faults,
    toolFaults: tools.faults,
  })
  const checkKey = createCheckKey({ settings: { ...config.models, defaultKeys: operatorKeys }, clock, timeoutMs: KEY_CHECK_MS })
  const folders = createFolderService({ db, write })
  return {
    providerKeys: createProviderKeyService({ db, write, secrets, clock, checkKey }),
    agents,
    agentSharing: createAgentSharing({ db, write, secrets, apiUrl: config.apiUrl }),
    agentVersions: createAgentVersionService({ db, agents }),
    agentValidation: createAgentValidation({ db, outbound, drafts, findWarnings }),
    agentTransfer: createAgentTransferService({ db, write, agents, folders }),
    folders,
    contacts: createContactService({ db, write }),
    mcpServers,
    tools,
    mcpTools: createMcpToolService({ db, write, agents }),
  }
}
