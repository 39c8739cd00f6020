import { expect, test } from 'bun:test'
import { Elysia, t } from 'elysia'
import { shortestOf } from '../../../tests/support/shortest-of'
import { DomainError } from '../errors'
import { silentLog } from '../log'
import { createRoom } from '../room'
import { jsonBody, parseJson } from './json-body'
import { problems } from './problems'

const parse = (text: string | Uint8Array) => parseJson(typeof text === 'string' ? Buffer.from(text) : text)

function refusalOf(text: string | Uint8Array): string {
  try {
    return `accepted ${JSON.stringify(parse(text))}`
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    return [error.problem, ...(error.errors ?? []).map(({ pointer, code }) => `${pointer} ${code}`)].join(', ')
  }
}

const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)

test('32 levels pass and 33 do not, wherever brackets stand', () => {
  expect(refusalOf(nested(32))).toStartWith('accepted')
  expect(refusalOf(nested(33))).toBe('validation-failed,  depth')
  expect(refusalOf(`${'{"a":['.repeat(17)}`)).toBe('validation-failed,  depth')
  // Neighbours are not levels, nor are brackets in texts, whatever backslashes stand before their quotes.
  for (const text of [
    `[${Array(1000).fill('[]').join()}]`,
    JSON.stringify('['.repeat(100)),
    JSON.stringify(`${'\\'.repeat(5)}"${'{'.repeat(100)}`),
    JSON.stringify([`\\`, '"[[[[', `\\"${'['.repeat(50)}\\\\`, '{'.repeat(50)]),
    JSON.stringify({ [`a"${'['.repeat(50)}`]: 1 }),
  ])
    expect(refusalOf(text)).toBe(`accepted ${text}`)
  // A text that ends early hides nothing behind it.
  expect(refusalOf(`["a\\\\", ${nested(40)}]`)).toBe('validation-failed,  depth')
})

test('a body as large as the limit is looked through without a stall, whatever it is full of', () => {
  const limit = 1_000_000
  const bodies = [
    '['.repeat(limit),
    `"${'\\'.repeat(limit)}`,
    `"${'\\"'.repeat(limit / 2)}"`,
    `[${'0,'.repeat(limit / 2)}0]`,
    `["${'a'.repeat(limit)}"]`,
  ]
  for (const body of [
    ...bodies,
    `[${'"\\u00e9",'.repeat(limit / 9)}0]`,
    `[${'"\\u0001",'.repeat(limit / 9)}0]`,
    `{${'"a":'.repeat(limit / 4)}`,
  ]) {
    const bytes = Buffer.from(body)
    expect(
      shortestOf(3, () => expect(() => parse(bytes)).not.toThrow(TypeError)),
      body.slice(0, 20),
    ).toBeLessThan(100)
  }
})

test('texts and names hold no control characters and no half characters, in whatever spelling', () => {
  for (const bad of [
    '\\u0000',
    '\\u0001',
    '\\b',
    '\\f',
    '\\u000b',
    '\\u001B',
    '\u007f',
    '\\u007F',
    '\u0085',
    '\u009b',
    '\\u0080',
    '\\u009F',
  ]) {
    expect(refusalOf(`{"a":["x${bad}"]}`)).toBe('validation-failed, /a/0 control-character')
    expect(refusalOf(`{"a":{"x${bad}":1}}`)).toBe('validation-failed, /a control-character')
  }
  for (const bad of ['\\ud800', '\\uDFFF', '\\ud800\\ud800', '\\udc00\\ud800']) {
    expect(refusalOf(`{"a":"${bad}"}`)).toBe('validation-failed, /a lone-surrogate')
    expect(refusalOf(`{"${bad}":1}`)).toBe('validation-failed,  control-character')
  }
  for (const good of ['\\t', '\\n', '\\r\\n', '\\ud83d\\ude00', '😀', '\\u00e9', 'C:\\\\bin\\\\foo', '\\\\u0000', '\ufeff', '\uffff'])
    expect(refusalOf(`{"a":"${good}"}`)).toStartWith('accepted')
  expect(refusalOf('"\u0000"')).toBe('malformed-request')
})

test('names that objects have a use for are refused at every depth; as values they are only words', () => {
  for (const text of ['{"__proto__":1}', '{"\\u005f_proto__":{}}', '{"toString":""}', '{"constructor":{"prototype":{}}}'])
    for (const [wrap, at] of [
      [text, ''],
      [`[${text}]`, '/0'],
      [`{"config":{"x":[${text}]}}`, '/config/x/0'],
    ] as const)
      expect(refusalOf(wrap)).toMatch(new RegExp(`^validation-failed, ${at}/(__proto__|toString|constructor) reserved-name$`))
  for (const good of ['{"a":"__proto__ toString constructor"}', '{"constructor":"Ada"}', '{"prototype":{}}', '{"constructor":{"a":1}}'])
    expect(refusalOf(good)).toBe(`accepted ${good}`)
})

test('at most twenty faults are told, with pointers that are escaped and bounded', () => {
  const faults = refusalOf(JSON.stringify(Array(1000).fill('\u0000'))).split(', ')
  expect(faults).toHaveLength(21)
  expect(refusalOf('{"a/b~c":"\\u0000"}')).toBe('validation-failed, /a~1b~0c control-character')
  expect(refusalOf(`{"${'k'.repeat(5000)}":"\\u0000"}`).length).toBeLessThan(200)
})

test('what is no JSON in UTF-8 is malformed', () => {
  const truncated = Uint8Array.of(0x22, 0xe2, 0x82, 0x22)
  const overlong = Uint8Array.of(0x22, 0xc0, 0x80, 0x22)
  const surrogate = Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22)
  const utf16 = Buffer.from('\ufeff{}', 'utf16le')
  for (const bytes of [truncated, overlong, surrogate, utf16]) expect(refusalOf(bytes)).toBe('malformed-request')
  for (const text of ['{', 'nul', '"', '{"a":1,}', "{'a':1}", '[1 2]', '\u00a0{}', '{}{}', ' ', '"unclosed \\"'])
    expect(refusalOf(text)).toBe('malformed-request')
})

const room = createRoom({ maxBytes: 1_000_000 })

const surface = (mayUpload: () => Promise<string>) =>
  new Elysia({ normalize: false })
    .use(problems({ apiUrl: 'http://localhost', log: silentLog }))
    .use(jsonBody({ maxBodyBytes: 100, mayUpload, rooms: { large: room, ordinary: room } }))
    .post('/', ({ body }) => ({ body: body ?? 'none' }))
    .post('/typed', ({ body }) => body, { body: t.Object({ a: t.String() }) })

const send = async (path: string, body: string, headers: Record<string, string>, mayUpload = async () => 'somebody') => {
  const response = await surface(mayUpload).handle(new Request(`http://localhost${path}`, { method: 'POST', body, headers }))
  const { type, body: echoed } = (await response.json()) as { type?: string; body?: unknown }
  return `${response.status} ${type?.split('/').at(-1) ?? JSON.stringify(echoed)} ${response.headers.get('connection') ?? ''}`.trim()
}
const json = { 'content-type': 'application/json' }
const large = JSON.stringify('x'.repeat(200))

test('what is above the small limit is read only for those who may, and asked before it is read', async () => {
  const declared = { ...json, 'content-length': String(large.length) }
  expect(await send('/', large, declared)).toBe(`200 ${large} close`)
  const stranger = async () => {
    throw new DomainError('unauthenticated', 'Not authenticated')
  }
  expect(await send('/', large, declared, stranger)).toBe('401 unauthenticated close')
  expect(await send('/', '{}', { ...json, 'content-length': '2' }, stranger)).toBe('200 {}')
  // Without a length nothing large is read for anybody.
  expect(await send('/', large, json)).toBe('413 payload-too-large close')
})

test('no body is no fault where none is needed', async () => {
  const nothing = new Request('http://localhost/', { method: 'POST' })
  expect(await (await surface(async () => 'somebody').handle(nothing)).json()).toEqual({ body: 'none' })
  expect(await send('/', '', json)).toBe('200 "none"')
  expect(await send('/typed', '', json)).toBe('422 validation-failed')
})
