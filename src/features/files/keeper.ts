import { createHash } from 'node:crypto'
import type { Db } from '~/platform/db'
import { DomainError, invalid } from '~/platform/errors'
import type { FilePart } from '~/runtime/model/types'
import type { Part } from '~/runtime/types'
import { checkMediaType } from './media-type'
import type { Objects } from './objects'
import { doomObjects, type FileRow, findFiles, findVersions, insertFiles, insertPieces, readPieces, spareObjects } from './queries'

/** A file that is about to be kept: checked, its bytes in the object store where there is one. They stay in base64, since each of their copies is as large. */
interface PreparedFile {
  id: string
  filename: string
  mediaType: string
  data: string
  size: number
  sha256: Buffer
}

/** Keeps the bytes of a conversation's files, so that runs and events hold only references to them. */
export interface FileKeeper {
  /** Before the transaction that keeps them: checks them, whose data is canonical base64, and hands them to the object store. @throws DomainError `validation-failed` */
  prepare(clientId: string, files: FilePart[]): Promise<PreparedFile[]>
  /** Within it, with the session locked: each becomes the next version under its name. The parts refer to the bytes and have none. */
  keep(tx: Db, session: { clientId: string; sessionId: string; author: 'user' | 'agent' }, prepared: PreparedFile[]): Promise<FilePart[]>
  /**
   * What a turn is shown: its own files in place of references to them, and those of its history as `fill` does. `hold` gets room for all of them before they
   * are read.
   */
  open<E extends WithParts>(
    clientId: string,
    turn: { files: FilePart[]; history: E[] },
    options: { maxHistoryBytes: number; hold: (bytes: number) => Promise<void> },
  ): Promise<{ files: FilePart[]; history: E[] }>
  /** Events, oldest first, with the newest files up to `maxBytes` in all in place of references to them. What was deleted stays a reference too. `hold` as above. */
  fill<E extends WithParts>(clientId: string, events: E[], maxBytes: number, hold?: (bytes: number) => Promise<void>): Promise<E[]>
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
/** Of base64: a mebibyte, small enough for one statement. */
const PIECE_LENGTH = base64Length(1_048_575)

export function createFileKeeper({ db, objects, maxBytes }: KeeperOptions): FileKeeper {
  const store = objects === undefined ? ('database' as const) : ('objects' as const)

  const check = ({ filename = 'file', mediaType, data }: FilePart, index: number): PreparedFile => {
    if (!isFilename(filename)) throw invalid(`/files/${index}/filename`, 'format', 'The name of a file must be one name, without a path')
    const size = Buffer.byteLength(data, 'base64')
    if (size > maxBytes) throw invalid(`/files/${index}/data`, 'length', `A file may have ${maxBytes} bytes at most`)
    checkMediaType(mediaType, data, `/files/${index}/content_type`)
    const hash = createHash('sha256')
    for (const piece of piecesOf(data)) hash.update(piece, 'base64')
    return { id: Bun.randomUUIDv7(), filename, mediaType, data, size, sha256: hash.digest() }
  }

  const read = async (file: FileRow): Promise<Buffer> => {
    if (file.store === 'database') return readPieces(db, file)
    if (objects === undefined) throw new DomainError('dependency-unavailable', 'The store of files is not available.')
    return objects.get(keyOf(file.clientId, file.id))
  }

  const rowsOf = async (clientId: string, ids: string[]) =>
    new Map((ids.length === 0 ? [] : await findFiles(db, clientId, ids)).map((row) => [row.id, row]))

  const inlined = async <E extends WithParts>(events: E[], rows: FileRow[]): Promise<E[]> => {
    if (rows.length === 0) return events
    const inline = new Map<string, Part>()
    for (const row of rows) inline.set(row.id, toInline(row, await read(row)))
    return events.map((event) => ({
      ...event,
      content: { ...event.content, parts: event.content.parts.map((part) => inline.get(part.file_data?.id ?? '') ?? part) },
    }))
  }

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
      for (const { id, data, mediaType } of prepared) await objects.put(keyOf(clientId, id), Buffer.from(data, 'base64'), mediaType)
      return prepared
    },

    async keep(tx, session, prepared) {
      if (prepared.length === 0) return []
      const { clientId, sessionId, author } = session
      const names = [...new Set(prepared.map(({ filename }) => filename))]
      const versions = await findVersions(tx, clientId, sessionId, names)
      const rows = prepared.map(({ id, filename, mediaType, size, sha256 }) => {
        const version = (versions.get(filename) ?? -1) + 1
        versions.set(filename, version)
        return { clientId, sessionId, id, filename, version, contentType: mediaType, size, sha256, author, store }
      })
      await insertFiles(tx, rows)
      if (objects === undefined) for (const { id, data } of prepared) await insertPieces(tx, { clientId, id }, piecesOf(data))
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

    async open(clientId, { files, history }, { maxHistoryBytes, hold }) {
      // What was just accepted has its data still.
      const unread = files.flatMap(({ kept, data }) => (kept === undefined || data !== '' ? [] : [kept.id]))
      const rows = await rowsOf(clientId, [...unread, ...referredTo(history)])
      const newest = newestFiles(history, rows, maxHistoryBytes)
      const own = new Map(unread.flatMap((id) => rows.get(id) ?? []).map((row) => [row.id, row]))
      const sizes = [...newest, ...own.values()].map(({ size }) => base64Length(size))
      await hold(sum([...sizes, ...files.map(({ data }) => data.length)]))
      const opened = files.map(async (file) => {
        const row = own.get(file.kept?.id ?? '')
        return row === undefined ? file : { ...file, data: (await read(row)).toString('base64') }
      })
      return { files: await Promise.all(opened), history: await inlined(history, newest) }
    },

    async fill(clientId, events, maxBytes, hold) {
      const rows = await rowsOf(clientId, referredTo(events))
      const newest = newestFiles(events, rows, maxBytes)
      await hold?.(sum(newest.map(({ size }) => base64Length(size))))
      return inlined(events, newest)
    },
  }
}

interface WithParts {
  content: { parts: Part[] }
}

const referredTo = (events: WithParts[]): string[] =>
  events.flatMap(({ content }) => content.parts.flatMap(({ file_data }) => (file_data === undefined ? [] : [file_data.id])))

/** Up to `maxBytes` in all, one that does not fit left out. */
function newestFiles(events: WithParts[], rows: Map<string, FileRow>, maxBytes: number): FileRow[] {
  let left = maxBytes
  return events.toReversed().flatMap(({ content }) =>
    content.parts.flatMap(({ file_data }) => {
      const row = rows.get(file_data?.id ?? '')
      if (row === undefined || row.size > left) return []
      left -= row.size
      return [row]
    }),
  )
}

const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0)

function base64Length(bytes: number): number {
  return Math.ceil(bytes / 3) * 4
}

/** Each whole base64 by itself. */
function* piecesOf(data: string): Generator<string> {
  for (let at = 0; at < data.length; at += PIECE_LENGTH) yield data.slice(at, at + PIECE_LENGTH)
}

const toInline = ({ filename, contentType }: FileRow, bytes: Buffer): Part => ({
  inline_data: { data: bytes.toString('base64'), mime_type: contentType, metadata: { filename } },
})

/** As the trigger that dooms an object of a deleted file makes it. */
export const keyOf = (clientId: string, id: string) => `${clientId}/${id}`

const uriOf = (sessionId: string, filename: string, version: number) =>
  `/api/v1/sessions/${encodeURIComponent(sessionId)}/artifacts/${encodeURIComponent(filename)}?version=${version}`

const isFilename = (name: string) => name.length <= MAX_FILENAME && /^[^/\\\p{Cc}\p{Cs}]+$/u.test(name) && name !== '.' && name !== '..'
