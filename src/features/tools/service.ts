import { authorize, can } from '~/platform/access'
import { hideConfig, maskConfig, openConfig, restoreConfig, sealConfig } from '~/platform/catalogue-secrets'
import type { Db } from '~/platform/db'
import type { DefinitionCache } from '~/platform/definition-cache'
import { notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import { type Listed, pageFrom } from '~/platform/keyset'
import type { Outbound } from '~/platform/outbound'
import type { Principal } from '~/platform/principal'
import type { PlatformSecrets } from '~/platform/secrets'
import type { Write } from '~/platform/unit-of-work'
import type { HttpToolSpec } from '~/runtime/tools/http-tool'
import { bindSpec, checkSpec, specOf } from './http-spec'
import { countTools, deleteTool, findTool, findTools, insertTool, listTools, updateTool } from './queries'
import type { NewTool, Tool } from './schema'

export type ToolService = ReturnType<typeof createToolService>

/** The catalogue of HTTP tools: defined once by admins, used by any agent with secrets of its own. */
export function createToolService({
  db,
  write,
  secrets,
  outbound,
  definitions,
}: {
  db: Db
  write: Write
  secrets: PlatformSecrets
  outbound: Outbound
  definitions: DefinitionCache
}) {
  const shownTo = (principal: Principal, tool: Tool): Tool => ({
    ...tool,
    config_json: can(principal, 'write', { kind: 'catalogue' }) ? maskConfig(tool.config_json) : hideConfig(tool.config_json),
  })

  const opened = (tool: Tool): Tool => ({ ...tool, config_json: openConfig(secrets, contextOf(tool.id), tool.config_json) })

  const fieldsOf = (
    id: string,
    { name, description = null, config_json = {}, environments = {} }: NewTool,
    before?: Record<string, unknown>,
  ) => {
    const clear = restoreConfig(secrets, contextOf(id), config_json, before)
    checkSpec({ name, description, config_json: clear }, outbound)
    return { name, description, configJson: sealConfig(secrets, contextOf(id), clear), environments }
  }

  return {
    async create(principal: Principal, input: NewTool): Promise<Tool> {
      authorize(principal, 'write', { kind: 'catalogue' })
      const id = crypto.randomUUID()
      const fields = fieldsOf(id, input)
      const created = await write(principal, async ({ tx, audit }) => {
        const tool = await insertTool(tx, { id, ...fields })
        audit({ action: 'create', resourceType: 'tool', resourceId: tool.id, details: { name: tool.name } })
        return tool
      })
      return shownTo(principal, created)
    },

    async list(principal: Principal, page: Page): Promise<Listed<Tool>> {
      authorize(principal, 'read', { kind: 'catalogue' })
      const [rows, total] = await Promise.all([listTools(db, page), countTools(db)])
      const { items, last } = pageFrom(rows, page.limit)
      return { items: items.map((tool) => shownTo(principal, tool)), total, last }
    },

    async get(principal: Principal, id: string): Promise<Tool> {
      authorize(principal, 'read', { kind: 'catalogue' })
      const tool = await findTool(db, id)
      if (tool === undefined) throw notFound('Tool')
      return shownTo(principal, tool)
    },

    /** Why each of these entries cannot be called in a run; those that can are left out. */
    async faults(ids: string[]): Promise<Map<string, string>> {
      const found = ids.length === 0 ? [] : await findTools(db, ids)
      return new Map(
        found.flatMap((tool) =>
          specOf(opened(tool)) === undefined ? [[tool.id, 'This entry is no HTTP tool: its config_json has no endpoint']] : [],
        ),
      )
    },

    /** Replaces the whole entry. */
    async replace(principal: Principal, id: string, input: NewTool): Promise<Tool> {
      authorize(principal, 'write', { kind: 'catalogue' })
      const before = await findTool(db, id)
      if (before === undefined) throw notFound('Tool')
      const fields = fieldsOf(id, input, before.config_json)
      const replaced = await write(principal, async ({ tx, audit }) => {
        const tool = await updateTool(tx, id, fields)
        if (tool === undefined) throw notFound('Tool')
        audit({ action: 'update', resourceType: 'tool', resourceId: id, details: { name: tool.name } })
        return tool
      })
      return shownTo(principal, replaced)
    },

    remove(principal: Principal, id: string): Promise<void> {
      authorize(principal, 'write', { kind: 'catalogue' })
      return write(principal, async ({ tx, audit }) => {
        const gone = await deleteTool(tx, id)
        if (gone === undefined) throw notFound('Tool')
        audit({ action: 'delete', resourceType: 'tool', resourceId: id, details: gone })
      })
    },

    /**
     * The HTTP tools that an agent has chosen, ready to be called. An entry that has gone since, that is no HTTP tool, or that lacks one of its
     * variables is left out: it costs the agent the tool, not the run.
     */
    async bind(chosen: { id: string; envs?: Record<string, string> | null }[]): Promise<HttpToolSpec[]> {
      if (chosen.length === 0) return []
      const ids = chosen.map(({ id }) => id)
      const tools = await definitions.get(null, `tools:${ids.join()}`, () => findTools(db, ids))
      const found = new Map(tools.map((tool) => [tool.id, tool]))
      return chosen.flatMap(({ id, envs }) => {
        const tool = found.get(id.toLowerCase())
        const spec = tool && specOf(opened(tool))
        return (spec && bindSpec(spec, envs ?? {})) ?? []
      })
    },
  }
}

/** What the secrets of an entry are sealed for. */
export const contextOf = (id: string) => `tools:${id}`
