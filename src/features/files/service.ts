import { authorizeReach } from '~/platform/access'
import type { Db } from '~/platform/db'
import { notFound } from '~/platform/errors'
import type { TakeRoom } from '~/platform/http/held-answer'
import type { Page } from '~/platform/http/schema'
import type { Principal } from '~/platform/principal'
import type { FileKeeper } from './keeper'
import { countFiles, type FileRow, findFile, findSession, listFiles } from './queries'
import type { Artifact } from './schema'

export type FileService = ReturnType<typeof createFileService>

export function createFileService({ db, keeper }: { db: Db; keeper: FileKeeper }) {
  const clientOf = async (principal: Principal, sessionId: string) => {
    const session = await findSession(db, authorizeReach(principal, 'read', 'sessions'), sessionId)
    if (session === undefined) throw notFound('Session')
    return session.clientId
  }

  return {
    /** By name and version. */
    async list(principal: Principal, sessionId: string, page: Page): Promise<{ items: Artifact[]; total: number }> {
      const clientId = await clientOf(principal, sessionId)
      const [rows, total] = await Promise.all([listFiles(db, clientId, sessionId, page), countFiles(db, clientId, sessionId)])
      return { items: rows.map(show), total }
    },

    /** The newest version unless one is named. */
    async download(
      principal: Principal,
      sessionId: string,
      { filename, version }: { filename: string; version: number | undefined },
      take: TakeRoom,
    ): Promise<{ file: Artifact; bytes: Buffer }> {
      const clientId = await clientOf(principal, sessionId)
      const row = await findFile(db, { clientId, sessionId, filename, version })
      if (row === undefined) throw notFound('Artifact')
      await take(clientId, row.size)
      return { file: show(row), bytes: await keeper.read(row) }
    },
  }
}

const show = ({ id, filename, version, contentType, size, sha256, author, createdAt }: FileRow): Artifact => ({
  id,
  filename,
  version,
  content_type: contentType,
  size,
  sha256: sha256.toString('hex'),
  author,
  created_at: createdAt,
})
