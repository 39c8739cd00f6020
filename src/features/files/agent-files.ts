import type { Database } from '~/platform/db'
import { notFound } from '~/platform/errors'
import type { FilePart } from '~/runtime/model/types'
import type { FileKeeper } from './keeper'
import { lockSession } from './queries'

/** Keeps a file that an agent made or was given by a tool, as the next version under its name. @throws DomainError when it is none that can be kept */
export type KeepAgentFile = (session: { clientId: string; sessionId: string }, file: FilePart) => Promise<FilePart>

export const createKeepAgentFile =
  ({ database, files }: { database: Database; files: FileKeeper }): KeepAgentFile =>
  async (session, file) => {
    // Whoever made it may spell base64 in other ways.
    const data = Buffer.from(file.data, 'base64').toString('base64')
    const prepared = await files.prepare(session.clientId, [{ ...file, data }])
    return database.transaction(async (tx) => {
      if (!(await lockSession(tx, session))) throw notFound('Session')
      const [kept] = await files.keep(tx, { ...session, author: 'agent' }, prepared)
      // One for each that was prepared.
      return kept as FilePart
    })
  }
