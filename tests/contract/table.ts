import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { auditedIn } from '../support/outbox'
import { type Reply, startApp, type TestApp } from '../support/start-app'

/**
 * A row of the API's contract: `{name}` in a path, a header or a body stands for what an earlier row kept, or for a client's id (`{ada}`, `{bob}`).
 * Rows of one table are asked in their order.
 */
export interface Row {
  what: string
  /** Below `/api/v1`, but for what has `root`. */
  ask: `${'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE'} ${string}`
  root?: true
  who: 'nobody' | 'ada' | 'bob' | 'admin'
  send?: unknown
  /** A file, as the web frontend sends it, in place of `send`. */
  upload?: { name: string; text: string; folder_id?: string }
  headers?: Record<string, string>
  /** What must be there before and no route makes: its names are kept. */
  made?: (app: TestApp, kept: (name: string) => string) => Promise<Record<string, string>>
  status: number
  /** What the body must have. */
  body?: unknown
  /** What the body must have, where it is a problem: `detail` and `message` are both this text. */
  says?: string
  /** Members of the body that later rows need, by their names there; `result.id` is one further in. */
  keep?: Record<string, string>
  /** Why it leaves nothing in the audit log, though it is neither a reading nor a fault of the request. */
  unaudited?: string
  /** Where it differs from Evo AI 0.1.0. */
  changed?: string
}

export const UNKNOWN = '7d3c1c1e-58a4-4a0e-9d0b-0d3d1f6a2b11'
export const text = expect.any(String)

/** Whom the rows that follow talk to, or move about. */
export const guide: Row = {
  what: 'an agent',
  ask: 'POST /agents/',
  who: 'ada',
  send: { client_id: '{ada}', name: 'guide', type: 'llm', model: 'demo/echo', config: {} },
  status: 201,
  keep: { agent: 'id' },
}

export interface Table {
  section: string
  rows: Row[]
  /** Settings that the rows need. */
  env?: Record<string, string>
}

export const table = (section: string, rows: Row[], env: Record<string, string> = {}): Table => ({ section, rows, env })

/** Asks the rows in their order, of an app of their own. */
export function ask({ section, rows, env }: Table) {
  setDefaultTimeout(20_000)
  let app: TestApp
  const kept = new Map<string, string>()
  const fill = <T>(value: T): T =>
    value === undefined
      ? value
      : (JSON.parse(
          JSON.stringify(value).replaceAll(/\{(\w+)\}/g, (whole, name: string) => {
            const found = kept.get(name)
            if (found === undefined) throw new Error(`no row before has kept ${whole}`)
            return found
          }),
        ) as T)

  /** Filled where it is text; asymmetric matchers stay as they are. */
  const expected = (value: unknown): unknown => {
    if (value === text) return value
    if (typeof value === 'string') return fill(value)
    if (Array.isArray(value)) return value.map(expected)
    if (value === null || typeof value !== 'object') return value
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, expected(member)]))
  }

  describe(section, () => {
    beforeAll(async () => {
      app = await startApp({ RATE_REQUESTS_PER_MINUTE: '1000000', RATE_CHATS_PER_MINUTE: '1000000', ...env })
      const people = {
        ada: app.ada.clientId,
        bob: app.bob.clientId,
        adas_user: app.ada.userId,
        bobs_user: app.bob.userId,
        admins_user: app.admin.userId,
      }
      for (const [name, value] of Object.entries({ ...people, unknown: UNKNOWN })) kept.set(name, value)
    })
    afterAll(() => app.close())

    test.each(rows.map((row): [string, Row] => [nameOf(row), row]))('%s', async (_, row) => {
      const made = await row.made?.(app, (name) => kept.get(name) ?? '')
      for (const [name, value] of Object.entries(made ?? {})) kept.set(name, value)
      const [method = '', path = ''] = fill(row.ask).split(' ')
      const caller = row.who === 'nobody' ? app.stranger : app[row.who].call
      const at = row.root ? path : `/api/v1${path}`
      const own = row.who === 'nobody' ? {} : { authorization: `Bearer ${app[row.who].token}` }
      const reply = row.upload
        ? await sendFile(`${app.url}${at}`, fill(row.upload), { ...own, ...fill(row.headers) })
        : await caller(method, at, fill(row.send), fill(row.headers))
      expect(reply.status === row.status ? row.status : `${reply.status} ${JSON.stringify(reply.body)}`).toBe(row.status)
      // Before the body is held against what is wanted, which leaves bun's matchers in it.
      for (const [name, member] of Object.entries(row.keep ?? {})) kept.set(name, String(inner(reply.body, member)))
      if (row.status === 204) expect(reply.body).toBe('')
      // What changes something says so in the audit log, and what was refused to somebody too.
      if (isAudited(row, reply)) expect(await auditedIn(app, reply)).not.toEqual([])
      const says = fill(row.says)
      if (says !== undefined) expect(reply.body).toMatchObject({ detail: says, message: says, status: row.status })
      if (row.status >= 400 && reply.body.jsonrpc === undefined) expectProblem(reply)
      const wanted = expected(row.body)
      if (Array.isArray(wanted) || typeof wanted === 'string') expect(reply.body).toEqual(wanted)
      else if (wanted !== undefined) expect(reply.body).toMatchObject(wanted as object)
    })
  })
}

function isAudited({ unaudited, who, ask }: Row, { status, body }: Reply): boolean {
  if (unaudited !== undefined) return false
  if (status === 403 || status === 404) return who !== 'nobody'
  const isFault = status >= 300 || (body.jsonrpc !== undefined && body.error !== undefined)
  return !isFault && !/^(GET|HEAD) /.test(ask)
}

const inner = (body: unknown, path: string) =>
  path.split('.').reduce((value, name) => (value as Record<string, unknown> | undefined)?.[name], body)

async function sendFile(
  url: string,
  { name, text, folder_id }: NonNullable<Row['upload']>,
  headers: Record<string, string>,
): Promise<Reply> {
  const form = new FormData()
  form.append('file', new File([text], name, { type: 'application/json' }))
  if (folder_id !== undefined) form.append('folder_id', folder_id)
  const response = await fetch(url, { method: 'POST', body: form, headers })
  return { status: response.status, headers: response.headers, body: await response.json() }
}

const nameOf = ({ ask, who, what, status, changed }: Row) => `${ask}, ${who}: ${what} → ${status}${changed ? ` (was: ${changed})` : ''}`

/** Every failure but JSON-RPC's own is a problem document that old clients can read too, and a 401 says how to come in. */
function expectProblem({ status, headers, body }: Reply) {
  expect(headers.get('content-type')).toBe('application/problem+json')
  expect(body).toMatchObject({ status, type: text, title: text, detail: text, message: body.detail, trace_id: text })
  if (status === 401) expect(headers.get('www-authenticate')).toStartWith('Bearer')
}
