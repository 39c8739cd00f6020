import { type SQL, sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'

export interface NamedRows {
  folder: boolean
  key: { provider: string; is_active: boolean } | null
  /** Another agent has the key that this one would have. */
  key_taken: boolean
}

/** What of this client an agent names beside other agents, in one statement. */
export async function findNamed(
  db: Db,
  { clientId, id }: { clientId: string; id: string },
  { folderId, apiKeyId, keyHash }: { folderId: string | null; apiKeyId: string | null; keyHash: Buffer | undefined },
): Promise<NamedRows> {
  const ofClient = (table: SQL, wanted: string | null) => sql`from ${table} where client_id = ${clientId} and id = ${wanted}::uuid`
  const [row] = await db.execute<NamedRows & Record<string, unknown>>(sql`
    select
      exists (select ${ofClient(sql`agent_folders`, folderId)}) as folder,
      (select json_build_object('provider', provider, 'is_active', is_active) ${ofClient(sql`api_keys`, apiKeyId)}) as key,
      exists (select from agents where key_hash = ${keyHash ?? null}::bytea and id <> ${id}) as key_taken`)
  return row as NamedRows
}
