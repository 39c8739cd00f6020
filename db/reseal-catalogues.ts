import { and, asc, eq, gt } from 'drizzle-orm'
import { contextOf as contextOfServer } from '~/features/mcp-servers/service'
import { mcpServers } from '~/features/mcp-servers/table'
import { contextOf as contextOfTool } from '~/features/tools/service'
import { tools } from '~/features/tools/table'
import { resealConfig } from '~/platform/catalogue-secrets'
import type { Db } from '~/platform/db'
import type { Secrets } from '~/platform/secrets'
import { resealRows } from './reseal'

const CATALOGUES = [
  { table: mcpServers, contextOf: contextOfServer },
  { table: tools, contextOf: contextOfTool },
]

/**
 * Brings the secrets in the catalogues under the newest of the ENCRYPTION_KEYs, while the server runs; those of old that are in clear are sealed. An entry
 * that changes meanwhile was sealed under the newest anyway. Returns how many entries were written.
 * @throws DomainError `secret-unavailable`
 */
export async function resealCatalogues({ db, secrets, signal }: { db: Db; secrets: Secrets; signal?: AbortSignal }): Promise<number> {
  let total = 0
  for (const { table, contextOf } of CATALOGUES)
    total += await resealRows({
      page: (after, size) =>
        db
          .select({ id: table.id, configJson: table.configJson })
          .from(table)
          .where(after === undefined ? undefined : gt(table.id, after))
          .orderBy(asc(table.id))
          .limit(size),
      placeOf: ({ id }) => id,
      async reseal({ id, configJson }) {
        const anew = resealConfig(secrets.platform, contextOf(id), configJson)
        if (anew === undefined) return 0
        const changed = await db
          .update(table)
          .set({ configJson: anew })
          .where(and(eq(table.id, id), eq(table.configJson, configJson)))
          .returning({ id: table.id })
        return changed.length
      },
      signal,
    })
  return total
}
