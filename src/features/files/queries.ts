import { and, asc, count, desc, eq, inArray, max, sql } from 'drizzle-orm'
import { sessions } from '~/features/sessions/table'
import type { Reach } from '~/platform/access'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import { doomedObjects, filePieces, files } from './table'

export type FileRow = typeof files.$inferSelect

export async function findSession(db: Db, { clientId, agentId }: Reach, id: string): Promise<{ clientId: string } | undefined> {
  const [session] = await db
    .select({ clientId: sessions.clientId })
    .from(sessions)
    .where(
      and(
        eq(sessions.id, id),
        clientId === null ? undefined : eq(sessions.clientId, clientId),
        agentId === null ? undefined : eq(sessions.agentId, agentId),
      ),
    )
  return session
}

/** Until the transaction ends nobody else gives its files versions. False when it is gone. */
export async function lockSession(tx: Db, { clientId, sessionId }: { clientId: string; sessionId: string }): Promise<boolean> {
  const rows = await tx
    .select({ id: sessions.id })
    .from(sessions)
    .where(and(eq(sessions.id, sessionId), eq(sessions.clientId, clientId)))
    .for('no key update')
  return rows.length > 0
}

const ofSession = (clientId: string, sessionId: string) => and(eq(files.clientId, clientId), eq(files.sessionId, sessionId))

/** The newest version of each of these names, as far as there is one. Holds while the session is locked. */
export async function findVersions(db: Db, clientId: string, sessionId: string, filenames: string[]): Promise<Map<string, number>> {
  const rows = await db
    .select({ filename: files.filename, version: max(files.version) })
    .from(files)
    .where(and(ofSession(clientId, sessionId), inArray(files.filename, filenames)))
    .groupBy(files.filename)
  return new Map(rows.map(({ filename, version }) => [filename, version ?? 0]))
}

export const insertFiles = (db: Db, rows: (typeof files.$inferInsert)[]) => db.insert(files).values(rows)

/** @param pieces in base64 */
export async function insertPieces(db: Db, { clientId, id }: { clientId: string; id: string }, pieces: Iterable<string>) {
  let position = 0
  for (const piece of pieces) {
    await db.insert(filePieces).values({ clientId, fileId: id, position, bytes: sql`decode(${piece}, 'base64')` })
    position += 1
  }
}

export async function readPieces(db: Db, { clientId, id }: { clientId: string; id: string }): Promise<Buffer> {
  const rows = await db
    .select({ bytes: filePieces.bytes })
    .from(filePieces)
    .where(and(eq(filePieces.clientId, clientId), eq(filePieces.fileId, id)))
    .orderBy(asc(filePieces.position))
  return Buffer.concat(rows.map(({ bytes }) => bytes))
}

export const findFiles = (db: Db, clientId: string, ids: string[]): Promise<FileRow[]> =>
  db
    .select()
    .from(files)
    .where(and(eq(files.clientId, clientId), inArray(files.id, ids)))

/** By its name: one version, or the newest. */
export async function findFile(
  db: Db,
  { clientId, sessionId, filename, version }: { clientId: string; sessionId: string; filename: string; version: number | undefined },
): Promise<FileRow | undefined> {
  const [row] = await db
    .select()
    .from(files)
    .where(
      and(ofSession(clientId, sessionId), eq(files.filename, filename), version === undefined ? undefined : eq(files.version, version)),
    )
    .orderBy(desc(files.version))
    .limit(1)
  return row
}

export const listFiles = (db: Db, clientId: string, sessionId: string, { skip, limit }: Page) =>
  db.select().from(files).where(ofSession(clientId, sessionId)).orderBy(asc(files.filename), asc(files.version)).offset(skip).limit(limit)

export async function countFiles(db: Db, clientId: string, sessionId: string): Promise<number> {
  const [row] = await db.select({ total: count() }).from(files).where(ofSession(clientId, sessionId))
  return row?.total ?? 0
}

/** Objects that are to go unless their files are committed in time. */
export const doomObjects = (db: Db, keys: string[], afterSeconds: number) =>
  db.insert(doomedObjects).values(keys.map((key) => ({ key, dueAt: sql`now() + make_interval(secs => ${afterSeconds})` })))

export const spareObjects = (db: Db, keys: string[]) => db.delete(doomedObjects).where(inArray(doomedObjects.key, keys))

export const putOffObject = (db: Db, key: string, seconds: number) =>
  db
    .update(doomedObjects)
    .set({ dueAt: sql`now() + make_interval(secs => ${seconds})` })
    .where(eq(doomedObjects.key, key))

export async function listDoomed(db: Db, limit: number): Promise<string[]> {
  const rows = await db
    .select({ key: doomedObjects.key })
    .from(doomedObjects)
    .where(sql`${doomedObjects.dueAt} <= now()`)
    .orderBy(asc(doomedObjects.dueAt))
    .limit(limit)
  return rows.map(({ key }) => key)
}
