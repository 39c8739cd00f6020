import type { Config } from '~/config'
import { contextOf } from '~/features/mcp-servers/service'
import { createToolPins } from '~/features/mcp-tools/pins'
import { findCatalogueServers } from '~/features/mcp-tools/queries'
import { createToolLists } from '~/features/mcp-tools/tool-lists'
import { openConfig } from '~/platform/catalogue-secrets'
import { createDial } from '~/runtime/mcp/connection'
import { createConnections } from '~/runtime/mcp/connections'
import { createDiscoverTools } from '~/runtime/mcp/discover'
import type { RunnerAddress } from '~/runtime/mcp/runner-protocol'
import { createRunnerTransport } from '~/runtime/mcp/runner-transport'
import { createMcpSources, TOOLS_FRESH_MS } from '~/runtime/mcp/sources'
import type { StdioServer } from '~/runtime/mcp/types'
import type { Machinery } from './machinery'

export type Mcp = ReturnType<typeof createMcp>

const MAX_AGE_MS = 600_000

/** What agents and the catalogue need of MCP servers. */
export function createMcp({ mcp, limits }: Config, { db, redis, write, secrets, clock, outbound, definitions }: Machinery) {
  const dial = createDial({
    outbound,
    stdio: mcp.stdio && mcp.runnerUrl !== undefined ? toRunner({ url: mcp.runnerUrl, token: mcp.runnerToken ?? '' }) : undefined,
    connectTimeoutMs: mcp.connectTimeoutMs,
    callTimeoutMs: limits.toolTimeoutMs,
    maxBytes: limits.toolResponseBytes,
    maxAgeMs: MAX_AGE_MS,
  })
  const connections = createConnections({
    dial,
    clock,
    idleMs: mcp.idleSeconds * 1000,
    maxAgeMs: MAX_AGE_MS,
    maxConnections: mcp.maxConnections,
  })
  return {
    discoverTools: createDiscoverTools({ dial, allowedCommands: mcp.commands }),
    createMcpSources: createMcpSources({
      connections,
      // Remembered sealed, opened for one run.
      findCatalogueServers: async (ids) =>
        (await definitions.get(null, `mcp-servers:${ids.join()}`, () => findCatalogueServers(db, ids))).map((server) => ({
          ...server,
          configJson: openConfig(secrets.platform, contextOf(server.id), server.configJson),
        })),
      pins: createToolPins({ db, write }),
      lists: createToolLists({ redis, secret: secrets.derive('mcp-tool-lists')[0], seconds: TOOLS_FRESH_MS / 1000 }),
      allowedCommands: mcp.commands,
      clock,
    }),
    close: connections.close,
  }
}

const toRunner = (address: RunnerAddress) => (server: StdioServer) => createRunnerTransport(address, server)
