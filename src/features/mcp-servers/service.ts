import { authorize, can } from '~/platform/access'
import { hideConfig, maskConfig, openConfig, restoreConfig, sealConfig } from '~/platform/catalogue-secrets'
import type { Db } from '~/platform/db'
import { DomainError, inField, notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import { type Listed, pageFrom } from '~/platform/keyset'
import type { Outbound } from '~/platform/outbound'
import type { Principal } from '~/platform/principal'
import type { PlatformSecrets } from '~/platform/secrets'
import type { Write } from '~/platform/unit-of-work'
import type { DiscoverTools } from '~/runtime/mcp/types'
import { checkServer } from './check-server'
import {
  countMcpServers,
  deleteMcpServer,
  findMcpServer,
  findMcpServers,
  insertMcpServer,
  listMcpServers,
  updateMcpServer,
} from './queries'
import type { CatalogueTool, McpServer, NewMcpServer } from './schema'

export type McpServerService = ReturnType<typeof createMcpServerService>

interface Deps {
  db: Db
  write: Write
  secrets: PlatformSecrets
  outbound: Outbound
  discoverTools: DiscoverTools
  /** That entries may start on our host. */
  commands: readonly string[]
  /** Whether it starts any. */
  startsCommands: boolean
}

const MODES = ['text']

/** The catalogue of MCP servers: kept by admins, read by everybody who signs in. */
export function createMcpServerService({ db, write, secrets, outbound, discoverTools, commands, startsCommands }: Deps) {
  const shownTo = (principal: Principal, server: McpServer): McpServer => ({
    ...server,
    config_json: can(principal, 'write', { kind: 'catalogue' }) ? maskConfig(server.config_json) : hideConfig(server.config_json),
  })

  const discovered = async (configJson: Record<string, unknown>): Promise<CatalogueTool[]> =>
    (await discoverTools({ configJson }).catch(refuseAddress)).map(({ name, description }) => ({
      id: name,
      name,
      description,
      tags: [],
      examples: [],
      inputModes: MODES,
      outputModes: MODES,
    }))

  /** Asks the server for its tools where none are given: before the transaction, which must not wait for others. */
  const fieldsOf = async (
    id: string,
    { name, description, config_type, config_json = {}, environments = {}, tools, type, trusted }: NewMcpServer,
    before?: Record<string, unknown>,
  ) => {
    const clear = restoreConfig(secrets, contextOf(id), config_json, before)
    checkServer(clear, { outbound, commands, configType: config_type })
    return {
      name,
      description: description ?? null,
      configType: config_type ?? 'studio',
      configJson: sealConfig(secrets, contextOf(id), clear),
      environments,
      tools: tools ?? (await discovered(clear)),
      type: type ?? 'official',
      trusted: trusted ?? false,
    }
  }

  /** The operator may have become stricter since the entry was made. */
  const faultOf = (configJson: Record<string, unknown>): string[] => {
    if (!startsCommands && (configJson.url === undefined || configJson.url === null)) return ['This server starts no commands (MCP_STDIO)']
    try {
      checkServer(configJson, { outbound, commands })
      return []
    } catch (error) {
      if (error instanceof DomainError) return [error.message]
      throw error
    }
  }

  return {
    /** @throws DomainError `validation-failed`, `url-not-allowed`; `upstream-error`, `upstream-timeout` where the server is asked and does not answer */
    async create(principal: Principal, input: NewMcpServer): Promise<McpServer> {
      authorize(principal, 'write', { kind: 'catalogue' })
      const id = crypto.randomUUID()
      const fields = await fieldsOf(id, input)
      const created = await write(principal, async ({ tx, audit }) => {
        const server = await insertMcpServer(tx, { id, ...fields })
        audit({ action: 'create', resourceType: 'mcp_server', resourceId: server.id, details: summaryOf(server) })
        return server
      })
      return shownTo(principal, created)
    },

    async list(principal: Principal, page: Page): Promise<Listed<McpServer>> {
      authorize(principal, 'read', { kind: 'catalogue' })
      const [rows, total] = await Promise.all([listMcpServers(db, page), countMcpServers(db)])
      const { items, last } = pageFrom(rows, page.limit)
      return { items: items.map((server) => shownTo(principal, server)), total, last }
    },

    async get(principal: Principal, id: string): Promise<McpServer> {
      authorize(principal, 'read', { kind: 'catalogue' })
      const server = await findMcpServer(db, id)
      if (server === undefined) throw notFound('MCP server')
      return shownTo(principal, server)
    },

    /** Why each of these entries cannot be reached as things are; those that can are left out. */
    async faults(ids: string[]): Promise<Map<string, string>> {
      const servers = ids.length === 0 ? [] : await findMcpServers(db, ids)
      return new Map(
        servers.flatMap(({ id, config_json }) =>
          faultOf(openConfig(secrets, contextOf(id), config_json)).map((fault) => [id, fault] as const),
        ),
      )
    },

    /** Replaces the whole entry. */
    async replace(principal: Principal, id: string, input: NewMcpServer): Promise<McpServer> {
      authorize(principal, 'write', { kind: 'catalogue' })
      const before = await findMcpServer(db, id)
      if (before === undefined) throw notFound('MCP server')
      const fields = await fieldsOf(id, input, before.config_json)
      const replaced = await write(principal, async ({ tx, audit }) => {
        const server = await updateMcpServer(tx, id, fields)
        if (server === undefined) throw notFound('MCP server')
        audit({ action: 'update', resourceType: 'mcp_server', resourceId: id, details: summaryOf(server) })
        return server
      })
      return shownTo(principal, replaced)
    },

    remove(principal: Principal, id: string): Promise<void> {
      authorize(principal, 'write', { kind: 'catalogue' })
      return write(principal, async ({ tx, audit }) => {
        const gone = await deleteMcpServer(tx, id)
        if (gone === undefined) throw notFound('MCP server')
        audit({ action: 'delete', resourceType: 'mcp_server', resourceId: id, details: gone })
      })
    },
  }
}

/** A host name is looked up only when its server is asked. */
function refuseAddress(error: unknown): never {
  throw inField('/config_json/url', error)
}

/** What the secrets of an entry are sealed for. */
export const contextOf = (id: string) => `mcp_servers:${id}`

/** What runs on our host is worth a note; values are not. */
const summaryOf = ({ name, config_json, trusted, tools }: McpServer) => {
  const { command, args, url } = maskConfig(config_json)
  const reached = url === undefined || url === null ? { command: command ?? 'npx', args } : { url: String(url).split('?')[0] }
  return { name, trusted, tools: tools.length, ...reached }
}
