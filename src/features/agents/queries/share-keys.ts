import { and, eq } from 'drizzle-orm'
import type { Reach } from '~/platform/access'
import type { Db } from '~/platform/db'
import { agents } from '../table'

const within = ({ clientId, agentId }: Reach, id: string) =>
  and(
    eq(agents.id, id),
    clientId === null ? undefined : eq(agents.clientId, clientId),
    agentId === null ? undefined : eq(agents.id, agentId),
  )

export async function lockShareKey(
  db: Db,
  reach: Reach,
  id: string,
): Promise<{ clientId: string; encryptedKey: string | null } | undefined> {
  const [row] = await db
    .select({ clientId: agents.clientId, encryptedKey: agents.shareEncryptedKey })
    .from(agents)
    .where(within(reach, id))
    .for('update')
  return row
}

/** It is no change of the agent: its version stays. */
export const setShareKey = (db: Db, id: string, key: { shareKeyHash: Buffer | null; shareEncryptedKey: string | null }) =>
  db.update(agents).set(key).where(eq(agents.id, id))
