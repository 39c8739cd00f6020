import type { Config } from '~/config'
import { createToolPins } from '~/features/mcp-tools/pins'
import { findCatalogueServers } from '~/features/mcp-tools/queries'
import { createDial } from '~/runtime/mcp/connection'
import { createConnections } from '~/runtime/mcp/connections'
import { createDiscoverTools } from '~/runtime/mcp/discover'
import type { RunnerAddress } from '~/runtime/mcp/runner-protocol'
import { createRunnerTransport } from '~/runtime/mcp/runner-transport'
import { createMcpSources } from '~/runtime/mcp/sources'
import type { StdioServer } from '~/runtime/mcp/types'
import type { Machinery } from './machinery'

export type Mcp = ReturnType<typeof createMcp>

const MAX_AGE_MS = 600_000

/** What agents and the catalogue need of MCP servers. */
export function createMcp({ mcp, limits }: Config, { db, write, clock, outbound, definitions }: Machinery) {
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
      findCatalogueServers: (ids) => definitions.get(null, `mcp-servers:${ids.join()}`, () => findCatalogueServers(db, ids)),
      pins: createToolPins({ db, write }),
      allowedCommands: mcp.commands,
      clock,
    }),
    close: connections.close,
  }
}

const toRunner = (address: RunnerAddress) => (server: StdioServer) => createRunnerTransport(address, server)
