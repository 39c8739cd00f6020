import type { Config } from '~/config'
import { createAuditService } from '~/features/audit/service'
import { createHealth } from '~/features/system/health'
import type { Log } from '~/platform/log'
import { createConversations } from './services/conversations'
import { createDefinitions } from './services/definitions'
import { createFaces } from './services/faces'
import { createMachinery } from './services/machinery'
import { createMails } from './services/mails'
import { createMcp } from './services/mcp'
import { createOperations } from './services/operations'
import { createPeople } from './services/people'

/** All services, wired. API and worker processes both have them: either may execute runs. `owner` names this process in the leases of its runs. */
export function createServices(config: Config, { log, owner, recoverEveryMs }: { log: Log; owner: string; recoverEveryMs: number }) {
  const machinery = createMachinery(config, { log, name: `evo-${owner}` })
  const { stores, db, write, passwords, admission } = machinery
  const mcp = createMcp(config, machinery)
  const definitions = createDefinitions(config, machinery, mcp)
  const { live, ...conversations } = createConversations(config, machinery, definitions, mcp, { owner, recoverEveryMs })
  const people = createPeople(config, machinery)
  const faces = createFaces(config, machinery, { ...people, ...definitions, ...conversations })
  const { stopMetrics, ...operations } = createOperations(machinery, { owner })
  return {
    db,
    stores,
    write,
    passwords,
    admission,
    clock: machinery.clock,
    secrets: machinery.secrets,
    outbound: machinery.outbound,
    room: machinery.room,
    ...people,
    ...definitions,
    ...conversations,
    ...faces,
    audit: createAuditService({ db, write }),
    ...createMails(config, machinery),
    ...operations,
    mcp,
    health: createHealth({ database: stores.database, redis: stores.redis, isMigrated: stores.isMigrated }),
    /** Ends all streams of runs, each with the word to come back elsewhere. */
    interrupt: live.interrupt,
    async close() {
      faces.sockets.close()
      live.close()
      stopMetrics()
      await mcp.close()
      await machinery.close()
    },
  }
}
