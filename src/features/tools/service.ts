import { authorize, can } from '~/platform/access'
import type { Db } from '~/platform/db'
import type { DefinitionCache } from '~/platform/definition-cache'
import { notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import { type Listed, pageFrom } from '~/platform/keyset'
import type { Outbound } from '~/platform/outbound'
import type { Principal } from '~/platform/principal'
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
  outbound,
  definitions,
}: {
  db: Db
  write: Write
  outbound: Outbound
  definitions: DefinitionCache
}) {
  const shownTo = (principal: Principal, tool: Tool): Tool =>
    can(principal, 'write', { kind: 'catalogue' }) ? tool : { ...tool, config_json: withoutSecrets(tool.config_json) }

  const fieldsOf = ({ name, description = null, config_json = {}, environments = {} }: NewTool) => {
    checkSpec({ name, description, config_json }, outbound)
    return { name, description, configJson: config_json, environments }
  }

  return {
    async create(principal: Principal, input: NewTool): Promise<Tool> {
      authorize(principal, 'write', { kind: 'catalogue' })
      const fields = fieldsOf(input)
      return write(principal, async ({ tx, audit }) => {
        const tool = await insertTool(tx, fields)
        audit({ action: 'create', resourceType: 'tool', resourceId: tool.id, details: { name: tool.name } })
        return tool
      })
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
          specOf(tool) === undefined ? [[tool.id, 'This entry is no HTTP tool: its config_json has no endpoint']] : [],
        ),
      )
    },

    /** Replaces the whole entry. */
    async replace(principal: Principal, id: string, input: NewTool): Promise<Tool> {
      authorize(principal, 'write', { kind: 'catalogue' })
      const fields = fieldsOf(input)
      return write(principal, async ({ tx, audit }) => {
        const tool = await updateTool(tx, id, fields)
        if (tool === undefined) throw notFound('Tool')
        audit({ action: 'update', resourceType: 'tool', resourceId: id, details: { name: tool.name } })
        return tool
      })
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
        const spec = tool && specOf(tool)
        return (spec && bindSpec(spec, envs ?? {})) ?? []
      })
    },
  }
}

const PLACEHOLDER = /^env@@[A-Za-z_][A-Za-z0-9_]*$/

/** Names and placeholders stay, so that an agent's owner sees what to supply. */
function withoutSecrets(configJson: Record<string, unknown>): Record<string, unknown> {
  const hidden = (values: unknown) =>
    Object.fromEntries(
      Object.entries(Object(values)).map(([name, value]) => [name, typeof value === 'string' && PLACEHOLDER.test(value) ? value : '***']),
    )
  const { headers, values } = configJson
  return {
    ...configJson,
    ...(headers === undefined ? {} : { headers: hidden(headers) }),
    ...(values === undefined ? {} : { values: hidden(values) }),
  }
}
