import { createHash } from 'node:crypto'
import type { Db } from '~/platform/db'
import { DomainError, invalid } from '~/platform/errors'
import type { FilePart } from '~/runtime/model/types'
import type { Part } from '~/runtime/types'
import { checkMediaType } from './media-type'
import type { Objects } from './objects'
import { doomObjects, type FileRow, findFiles, findVersions, insertFiles, insertPieces, readPieces, spareObjects } from './queries'

/** A file that is about to be kept: checked, its bytes in the object store where there is one. */
interface PreparedFile {
  id: string
  filename: string
  mediaType: string
  bytes: Buffer
  sha256: Buffer
}

/** Keeps the bytes of a conversation's files, so that runs and events hold only references to them. */
export interface FileKeeper {
  /** Before the transaction that keeps them: checks them, and hands them to the object store. @throws DomainError `validation-failed` */
  prepare(clientId: string, files: FilePart[]): Promise<PreparedFile[]>
  /** Within it, with the session locked: each becomes the next version under its name. The parts refer to the bytes and have none. */
  keep(tx: Db, session: { clientId: string; sessionId: string; author: 'user' | 'agent' }, prepared: PreparedFile[]): Promise<FilePart[]>
  /** The files themselves in place of references to them. */
  open(clientId: string, files: FilePart[]): Promise<FilePart[]>
  /**
   * The same in events, oldest first: the newest files up to `maxBytes` in all, the others stay references. What was deleted stays one too.
   */
  fill<E extends { content: { parts: Part[] } }>(clientId: string, events: E[], maxBytes: number): Promise<E[]>
  read(file: FileRow): Promise<Buffer>
}

export interface KeeperOptions {
  db: Db
  /** Undefined: they are kept in the database. */
  objects: Objects | undefined
  /** Of one file. */
  maxBytes: number
}

/** Longer than the transaction may take that refers to an object; after it an object without a file is removed. */
const UNCOMMITTED_SECONDS = 3600
const MAX_FILENAME = 255

export function createFileKeeper({ db, objects, maxBytes }: KeeperOptions): FileKeeper {
  const store = objects === undefined ? ('database' as const) : ('objects' as const)

  const check = ({ filename = 'file', mediaType, data }: FilePart, index: number): PreparedFile => {
    if (!isFilename(filename)) throw invalid(`/files/${index}/filename`, 'format', 'The name of a file must be one name, without a path')
    const bytes = Buffer.from(data, 'base64')
    if (bytes.byteLength > maxBytes) throw invalid(`/files/${index}/data`, 'length', `A file may have ${maxBytes} bytes at most`)
    checkMediaType(mediaType, bytes, `/files/${index}/content_type`)
    return { id: Bun.randomUUIDv7(), filename, mediaType, bytes, sha256: createHash('sha256').update(bytes).digest() }
  }

  const read = async (file: FileRow): Promise<Buffer> => {
    if (file.store === 'database') return readPieces(db, file)
    if (objects === undefined) throw new DomainError('dependency-unavailable', 'The store of files is not available.')
    return objects.get(keyOf(file.clientId, file.id))
  }

  const rowsOf = async (clientId: string, ids: string[]) =>
    new Map((ids.length === 0 ? [] : await findFiles(db, clientId, ids)).map((row) => [row.id, row]))

  return {
    read,

    async prepare(clientId, files) {
      const prepared = files.map(check)
      if (objects === undefined || prepared.length === 0) return prepared
      await doomObjects(
        db,
        prepared.map(({ id }) => keyOf(clientId, id)),
        UNCOMMITTED_SECONDS,
      )
      for (const { id, bytes, mediaType } of prepared) await objects.put(keyOf(clientId, id), bytes, mediaType)
      return prepared
    },

    async keep(tx, session, prepared) {
      if (prepared.length === 0) return []
      const { clientId, sessionId, author } = session
      const names = [...new Set(prepared.map(({ filename }) => filename))]
      const versions = await findVersions(tx, clientId, sessionId, names)
      const rows = prepared.map(({ id, filename, mediaType, bytes, sha256 }) => {
        const version = (versions.get(filename) ?? -1) + 1
        versions.set(filename, version)
        return { clientId, sessionId, id, filename, version, contentType: mediaType, size: bytes.byteLength, sha256, author, store }
      })
      await insertFiles(tx, rows)
      if (objects === undefined) for (const { id, bytes } of prepared) await insertPieces(tx, { clientId, id }, bytes)
      else
        await spareObjects(
          tx,
          prepared.map(({ id }) => keyOf(clientId, id)),
        )
      return rows.map(({ id, filename, version, contentType }) => ({
        type: 'file',
        mediaType: contentType,
        data: '',
        filename,
        kept: { id, uri: uriOf(sessionId, filename, version), version },
      }))
    },

    async open(clientId, files) {
      const rows = await rowsOf(
        clientId,
        files.flatMap(({ kept }) => (kept === undefined ? [] : [kept.id])),
      )
      return Promise.all(
        files.map(async (file) => {
          const row = file.kept === undefined ? undefined : rows.get(file.kept.id)
          return row === undefined ? file : { ...file, data: (await read(row)).toString('base64') }
        }),
      )
    },

    async fill(clientId, events, maxBytes) {
      const rows = await rowsOf(
        clientId,
        events.flatMap(({ content }) => content.parts.flatMap(({ file_data }) => (file_data === undefined ? [] : [file_data.id]))),
      )
      if (rows.size === 0) return events
      const inline = new Map<string, Part>()
      let left = maxBytes
      for (const { content } of events.toReversed())
        for (const { file_data } of content.parts) {
          const row = file_data === undefined ? undefined : rows.get(file_data.id)
          if (row === undefined || row.size > left) continue
          left -= row.size
          inline.set(row.id, toInline(row, await read(row)))
        }
      return events.map((event) => ({
        ...event,
        content: { ...event.content, parts: event.content.parts.map((part) => inline.get(part.file_data?.id ?? '') ?? part) },
      }))
    },
  }
}

const toInline = ({ filename, contentType }: FileRow, bytes: Buffer): Part => ({
  inline_data: { data: bytes.toString('base64'), mime_type: contentType, metadata: { filename } },
})

/** As the trigger that dooms an object of a deleted file makes it. */
export const keyOf = (clientId: string, id: string) => `${clientId}/${id}`

const uriOf = (sessionId: string, filename: string, version: number) =>
  `/api/v1/sessions/${encodeURIComponent(sessionId)}/artifacts/${encodeURIComponent(filename)}?version=${version}`

const isFilename = (name: string) => name.length <= MAX_FILENAME && /^[^/\\\p{Cc}\p{Cs}]+$/u.test(name) && name !== '.' && name !== '..'
