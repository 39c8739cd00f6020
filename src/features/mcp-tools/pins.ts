import type { Db } from '~/platform/db'
import { system } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import type { McpOwner, OfferedTool, PinnedServer, ToolPins } from '~/runtime/mcp/types'
import { clearOffered, insertAccepted, listPins, upsertOffered } from './queries'

type Pin = Awaited<ReturnType<typeof listPins>>[number]
type Asked = Parameters<ToolPins['check']>[1][number]

/** What an agent's owner has accepted, kept in PostgreSQL. */
export function createToolPins({ db, write }: { db: Db; write: Write }): ToolPins {
  async function checkOne(owner: McpOwner, { key, name, tools }: Asked, pins: Pin[]): Promise<PinnedServer | undefined> {
    const known = new Map(pins.filter(({ serverKey }) => serverKey === key).map((pin) => [pin.name, pin]))
    if (tools === undefined)
      return { accepted: namesOf([...known.values()].filter(({ acceptedHash }) => acceptedHash !== null)), waiting: [] }
    if (known.size === 0 && tools.length > 0) {
      const seen = await insertAccepted(db, owner, { serverKey: key, serverName: name, tools })
      // Somebody else's turn saw them first: what it saw counts.
      return seen === tools.length ? { accepted: namesOf(tools), waiting: [] } : undefined
    }
    const accepted = tools.filter((tool) => known.get(tool.name)?.acceptedHash === tool.hash)
    const waiting = tools.filter((tool) => known.get(tool.name)?.acceptedHash !== tool.hash)
    await settle(owner, { key, name, known, accepted, waiting })
    return { accepted: namesOf(accepted), waiting: waiting.map((tool) => tool.name) }
  }

  /** Writes only what is news. */
  async function settle(
    owner: McpOwner,
    {
      key,
      name,
      known,
      accepted,
      waiting,
    }: { key: string; name: string; known: Map<string, Pin>; accepted: OfferedTool[]; waiting: OfferedTool[] },
  ) {
    const news = waiting.filter((tool) => known.get(tool.name)?.offeredHash !== tool.hash)
    if (news.length > 0)
      await write(system, async ({ tx, audit }) => {
        await upsertOffered(tx, owner, { serverKey: key, serverName: name, tools: news })
        audit({
          action: 'quarantine',
          resourceType: 'mcp_tool',
          resourceId: owner.agentId,
          clientId: owner.clientId,
          details: { server: name, tools: news.map((tool) => tool.name) },
        })
      })
    const settled = accepted.filter((tool) => (known.get(tool.name)?.offeredHash ?? null) !== null).map((tool) => tool.name)
    if (settled.length > 0) await clearOffered(db, owner, key, settled)
  }

  return {
    async check(owner, servers) {
      if (servers.length === 0) return []
      const pins = await listPins(db, owner)
      const checked = await Promise.all(servers.map((server) => checkOne(owner, server, pins)))
      if (checked.every((server) => server !== undefined)) return checked
      const again = await listPins(db, owner)
      return Promise.all(
        servers.map(
          async (server, index) => checked[index] ?? (await checkOne(owner, server, again)) ?? { accepted: new Set(), waiting: [] },
        ),
      )
    },
  }
}

const namesOf = (tools: { name: string }[]) => new Set(tools.map(({ name }) => name))
