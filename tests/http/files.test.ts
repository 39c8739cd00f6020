import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createFileKeeper } from '~/features/files/keeper'
import { createObjectRemover } from '~/features/files/worker'
import { readOutlook } from '~/features/runs/queries/outlook'
import { silentLog } from '~/platform/log'
import { toMessages } from '~/runtime/conversation'
import { startObjectStore } from '../support/object-store'
import { gemini, openai, serveRaw, sse } from '../support/raw-provider'
import { type Person, startApp, type TestApp } from '../support/start-app'

const objects = startObjectStore()
const S3 = { S3_ENDPOINT: objects.url, S3_BUCKET: 'files', S3_ACCESS_KEY_ID: 'id', S3_SECRET_ACCESS_KEY: 'secret' }
const provider = serveRaw(() => sse(openai.text('fine'), openai.end('stop'), '[DONE]'))
const painter = serveRaw(() => {
  const picture = { inlineData: { mimeType: 'image/png', data: PNG.toString('base64') } }
  const nonsense = { inlineData: { mimeType: 'image/png', data: 'AAAA' } }
  return sse(gemini.parts([{ text: 'Here it is' }, picture, nonsense], 'STOP'))
})
const GEMINI = { GEMINI_BASE_URL: painter.url, GEMINI_API_KEY: 'operators-key' }
const OPENAI = { OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: 'operators-key' }
let app: TestApp
let person: Person
afterAll(async () => {
  await app.close()
  await objects.close()
  await Promise.all([provider.stop(), painter.stop()])
})

const PNG = Buffer.concat([Buffer.from([0x89]), Buffer.from('PNG\r\n\x1a\nand so on')])
const file = (filename: string, content_type: string, bytes: Buffer | string) => ({
  filename,
  content_type,
  data: Buffer.from(bytes).toString('base64'),
})
const makeAgent = async () => {
  const definition = { client_id: person.clientId, name: 'echo', type: 'llm', model: 'demo/echo', config: {} }
  return String((await person.call('POST', '/api/v1/agents/', definition)).body.id)
}
const say = (agentId: string, files: object[], message = 'look at this') =>
  person.call('POST', `/api/v1/chat/${agentId}/user`, { message, files })
const artifacts = async (agentId: string) => (await person.call('GET', `/api/v1/sessions/user_${agentId}/artifacts`)).body
const download = (agentId: string, path: string, who = person) =>
  fetch(`${app.url}/api/v1/sessions/user_${agentId}/artifacts/${path}`, { headers: { authorization: `Bearer ${who.token}` } })

describe.each([
  ['PostgreSQL', {}],
  ['an object store', S3],
] as const)('files kept in %s', (where, env) => {
  beforeAll(async () => {
    await app?.close()
    app = await startApp({ MAX_FILE_BYTES: '3000000', ...OPENAI, ...GEMINI, ...env })
    person = app.ada
  })

  test('a file is listed with its versions, downloaded whole, and shown with its message as the web frontend wants it', async () => {
    const agentId = await makeAgent()
    expect((await say(agentId, [file('a note.txt', 'text/plain', 'first'), file('pic.png', 'image/png', PNG)])).status).toBe(200)
    expect((await say(agentId, [file('a note.txt', 'text/plain', 'second')])).status).toBe(200)
    // A turn by the runs API takes them too, more of them than other bodies may be long.
    const run = { message: '', external_id: 'user', files: [file('run.txt', 'text/plain', 'r'.repeat(2_500_000))] }
    expect((await person.call('POST', `/api/v1/agents/${agentId}/runs`, run)).status).toBe(200)
    const named = { ...run, files: [file('../run.txt', 'text/plain', 'r')] }
    expect((await person.call('POST', `/api/v1/agents/${agentId}/runs`, named)).status).toBe(422)
    const listed = await artifacts(agentId)
    expect(listed.map(({ filename, version, size }: Record<string, unknown>) => [filename, version, size])).toEqual([
      ['a note.txt', 0, 5],
      ['a note.txt', 1, 6],
      ['pic.png', 0, PNG.byteLength],
      ['run.txt', 0, 2_500_000],
    ])
    const newest = await download(agentId, 'a%20note.txt')
    expect([await newest.text(), newest.headers.get('content-disposition'), newest.headers.get('x-content-type-options')]).toEqual([
      'second',
      "attachment; filename*=UTF-8''a%20note.txt",
      'nosniff',
    ])
    expect(await (await download(agentId, 'a%20note.txt?version=0')).text()).toBe('first')
    expect(Buffer.from(await (await download(agentId, 'pic.png')).arrayBuffer())).toEqual(PNG)
    expect([(await download(agentId, 'a%20note.txt?version=2')).status, (await download(agentId, 'pic.png', app.bob)).status]).toEqual([
      404, 404,
    ])

    const messages = (await person.call('GET', `/api/v1/sessions/user_${agentId}/messages`)).body
    const [first] = messages
    expect(first.actions.artifact_delta).toEqual({ 'a note.txt': 0, 'pic.png': 0 })
    expect(first.artifacts['pic.png']).toEqual({ data: PNG.toString('base64'), mimeType: 'image/png', version: 0 })
    expect(first.content.parts[1].inline_data).toEqual({
      data: Buffer.from('first').toString('base64'),
      mime_type: 'text/plain',
      metadata: { filename: 'a note.txt' },
    })
    const session = (await person.call('GET', `/api/v1/sessions/user_${agentId}`)).body
    expect(session.events[0].content.parts[2].inlineData).toEqual({
      data: PNG.toString('base64'),
      mimeType: 'image/png',
      metadata: { filename: 'pic.png' },
    })
  })

  test('no row holds the bytes but those that are for it', async () => {
    const agentId = await makeAgent()
    const bytes = Buffer.alloc(2_500_000, 'unmistakable ')
    expect((await say(agentId, [file('large.txt', 'text/plain', bytes)])).status).toBe(200)
    expect(Buffer.from(await (await download(agentId, 'large.txt')).arrayBuffer()).equals(bytes)).toBe(true)
    const [sizes] = await app.services.db.execute<{ runs: number; events: number; log: number; pieces: number }>(
      `select (select max(length(input::text)) from runs) as runs, (select max(length(content::text)) from events where author = 'user') as events,
        (select count(*) from file_pieces p join files f on f.id = p.file_id and f.client_id = p.client_id where f.filename = 'large.txt') as pieces`,
    )
    expect(Number(sizes?.runs)).toBeLessThan(2000)
    expect(Number(sizes?.events)).toBeLessThan(2000)
    expect(Number(sizes?.pieces)).toBe(where === 'PostgreSQL' ? 3 : 0)
  })

  test('the model gets a picture and a text with their turn and with later ones', async () => {
    const config = { client_id: person.clientId, name: 'reader', type: 'llm', model: openai.model, config: {} }
    const agentId = String((await person.call('POST', '/api/v1/agents/', config)).body.id)
    const before = provider.seen.length
    await say(agentId, [file('facts.txt', 'text/plain', 'the sky is green'), file('pic.png', 'image/png', PNG)])
    await person.call('POST', `/api/v1/chat/${agentId}/user`, { message: 'and now?' })
    const asked = provider.seen.slice(before).map(({ body }) => JSON.stringify(body))
    expect(asked).toHaveLength(2)
    for (const request of asked) {
      expect(request).toContain('the sky is green')
      expect(request).toContain(`data:image/png;base64,${PNG.toString('base64')}`)
    }
  })

  test('what a model draws becomes a file of the conversation, shown with its words; what it only calls a picture does not', async () => {
    const config = { client_id: person.clientId, name: 'painter', type: 'llm', model: gemini.model, config: {} }
    const agentId = String((await person.call('POST', '/api/v1/agents/', config)).body.id)
    const { body } = await person.call('POST', `/api/v1/chat/${agentId}/user`, { message: 'draw' })
    expect(body.response).toContain('Here it is')
    expect(body.response).toContain('could not be kept')
    const { content, actions } = body.message_history.at(-1)
    expect(actions.artifact_delta).toEqual({ 'file-1.png': 0 })
    expect(content.parts.at(-1)).toMatchObject({ file_data: { display_name: 'file-1.png', mime_type: 'image/png' } })
    expect(await artifacts(agentId)).toMatchObject([{ filename: 'file-1.png', version: 0, author: 'agent', size: PNG.byteLength }])
    expect(Buffer.from(await (await download(agentId, 'file-1.png')).arrayBuffer()).equals(PNG)).toBe(true)
    // The next turn is none the worse for it.
    expect((await person.call('POST', `/api/v1/chat/${agentId}/user`, { message: 'again' })).status).toBe(200)
    expect((await artifacts(agentId)).map(({ version }: { version: number }) => version)).toEqual([0, 1])
  })

  test('what is too much of earlier files is named to the model, not repeated', async () => {
    const agentId = await makeAgent()
    await say(agentId, [file('old.txt', 'text/plain', 'older')])
    await say(agentId, [file('new.txt', 'text/plain', 'newer')])
    const keeper = createFileKeeper({ db: app.services.db, objects: app.services.objects, maxBytes: 1000 })
    const spender = { id: crypto.randomUUID(), clientId: person.clientId, agentId, sessionId: `user_${agentId}` }
    const { history } = await readOutlook(app.services.db, spender, { mostEvents: 10, mostActive: 0 })
    const events = await keeper.fill(person.clientId, history, 8)
    const prompt = JSON.stringify(toMessages(events, 'echo'))
    expect(prompt).toContain('not shown again: old.txt')
    expect(prompt).toContain(Buffer.from('newer').toString('base64'))
  })

  test('WS-09: a file that is not what it says, too large, or named like a path is refused and not kept', async () => {
    const agentId = await makeAgent()
    await say(agentId, [])
    const status = async (one: object) => (await say(agentId, [one])).status
    expect(await status(file('x.png', 'image/png', 'no picture'))).toBe(422)
    expect(await status(file('x.pdf', 'application/pdf', PNG))).toBe(422)
    expect(await status(file('x.txt', 'text/plain', Buffer.from([0, 1, 2])))).toBe(422)
    expect(await status(file('../../x', 'text/plain', 'x'))).toBe(422)
    expect(await status(file('..', 'text/plain', 'x'))).toBe(422)
    expect(await status({ filename: 'x', content_type: 'text/plain', data: 'not base64!' })).toBe(422)
    expect(await status(file('x', 'text/plain', Buffer.alloc(3_000_001, 'x')))).toBe(422)
    expect(await artifacts(agentId)).toEqual([])
  })

  test('with a session its files go, also from the object store', async () => {
    const agentId = await makeAgent()
    await say(agentId, [file('gone.txt', 'text/plain', 'soon')])
    const before = objects.objects.size
    expect((await person.call('DELETE', `/api/v1/sessions/user_${agentId}`)).status).toBe(204)
    const rows = await app.services.db.execute("select 1 from files where filename = 'gone.txt'")
    expect(rows).toHaveLength(0)
    const { objects: store } = app.services
    if (store === undefined) return
    await createObjectRemover({ db: app.services.db, objects: store, log: silentLog }).sweep()
    expect(objects.objects.size).toBe(before - 1)
  })

  test('an object that no file came to refer to goes once its time is over, and no other', async () => {
    const { objects: store, db } = app.services
    if (store === undefined) return
    const agentId = await makeAgent()
    const run = { message: '', external_id: 'user', files: [file('once.txt', 'text/plain', 'kept')] }
    const before = objects.objects.size
    // The second is answered with the first: what it has sent is of no use.
    for (const _ of [1, 2])
      expect((await person.call('POST', `/api/v1/agents/${agentId}/runs`, run, { 'idempotency-key': 'once' })).status).toBe(200)
    const remover = createObjectRemover({ db, objects: store, log: silentLog })
    const sizes = [objects.objects.size]
    await remover.sweep()
    sizes.push(objects.objects.size)
    await db.execute('update doomed_objects set due_at = now()')
    await remover.sweep()
    sizes.push(objects.objects.size)
    expect(sizes).toEqual([before + 2, before + 2, before + 1])
    expect(await (await download(agentId, 'once.txt')).text()).toBe('kept')
  })

  test('an object that the store does not let go is put off, and those behind it go', async () => {
    const { objects: store, db } = app.services
    if (store === undefined) return
    await db.execute("insert into doomed_objects (key, due_at) select 'stuck-' || n, now() - interval '1 day' from generate_series(1, 4) n")
    await db.execute("insert into doomed_objects (key) values ('behind')")
    const removed: string[] = []
    const remove = async (key: string) => {
      if (key.startsWith('stuck-')) throw new Error('Access Denied')
      removed.push(key)
    }
    const remover = createObjectRemover({ db, objects: { ...store, remove }, log: silentLog })
    await expect(remover.sweep()).rejects.toThrow('3 objects')
    expect(removed).toEqual([])
    await expect(remover.sweep()).rejects.toThrow('1 objects')
    expect(removed).toContain('behind')
    expect(await remover.sweep()).toBe(0)
    await db.execute("delete from doomed_objects where key like 'stuck-%'")
  })
})
