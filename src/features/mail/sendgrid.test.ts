import { afterEach, describe, expect, test } from 'bun:test'
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { mail } from '../../../tests/support/mail'
import { SendFailure } from './sender'
import { createSendGrid } from './sendgrid'

const NEVER = new AbortController().signal

interface Call {
  path: string | undefined
  headers: IncomingHttpHeaders
  body: string
  socket: Socket
}

let server: Server | undefined
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

/** A provider that answers each call by the next of `answers`, and any more with 202. */
async function listen(...answers: ((response: ServerResponse, socket: Socket) => unknown)[]) {
  const calls: Call[] = []
  server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    calls.push({ path: request.url, headers: request.headers, body: Buffer.concat(chunks).toString(), socket: request.socket })
    const answer = answers.shift() ?? ((response) => response.writeHead(202, { 'x-message-id': 'sg' }).end())
    answer(response, request.socket)
  })
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { calls, sender: createSendGrid({ apiKey: 'SG.test', baseUrl }) }
}

const answering =
  (status: number, headers: Record<string, string> = {}, body = '') =>
  (response: ServerResponse) =>
    response.writeHead(status, headers).end(body)

async function failureOf(sending: Promise<unknown>): Promise<SendFailure> {
  const error = await sending.then(
    () => undefined,
    (error: unknown) => error,
  )
  if (error instanceof SendFailure) return error
  throw new Error('not a SendFailure', { cause: error })
}

const closed = (socket: Socket) => (socket.destroyed ? undefined : new Promise((resolve) => socket.once('close', resolve)))

describe('a mail that is taken', () => {
  test('is written as the v3 API has it, with our key, the delivery as its custom argument, and links that are not tracked', async () => {
    const { calls, sender } = await listen()
    expect(await sender.send(mail, NEVER)).toEqual({ providerMessageId: 'sg' })
    expect(calls).toHaveLength(1)
    expect(calls[0]?.path).toBe('/v3/mail/send')
    expect(calls[0]?.headers).toMatchObject({ authorization: 'Bearer SG.test', 'content-type': 'application/json' })
    expect(JSON.parse(calls[0]?.body ?? '')).toEqual({
      personalizations: [{ to: [{ email: mail.to }] }],
      from: { email: mail.from },
      subject: mail.subject,
      content: [
        { type: 'text/plain', value: mail.text },
        { type: 'text/html', value: mail.html },
      ],
      custom_args: { delivery_id: mail.id },
      headers: { 'X-Evo-Delivery-Id': mail.id },
      tracking_settings: { click_tracking: { enable: false, enable_text: false } },
    })
  })

  test('leaves its connection to the next one', async () => {
    const { calls, sender } = await listen(answering(202), answering(429), answering(400, {}, '{"errors":[]}'))
    expect(await sender.send(mail, NEVER)).toEqual({})
    for (let i = 0; i < 2; i++) await failureOf(sender.send(mail, NEVER))
    await sender.send(mail, NEVER)
    expect(calls).toHaveLength(4)
    expect(new Set(calls.map(({ socket }) => socket.remotePort)).size).toBe(1)
  })

  test('is taken, whatever else the answer goes on to say', async () => {
    const { calls, sender } = await listen((response) => response.writeHead(202, { 'x-message-id': 'sg-1' }).write('more'))
    expect(await sender.send(mail, NEVER)).toEqual({ providerMessageId: 'sg-1' })
    await closed(calls[0]?.socket as Socket)
  })
})

describe('a refusal', () => {
  const complaint = JSON.stringify({ errors: [{ message: 'The from address is not verified.' }, { message: 'And more.' }] })

  test.each<[number, 'permanent' | 'passing']>([
    [400, 'permanent'],
    [401, 'passing'],
    [403, 'passing'],
    [404, 'permanent'],
    [408, 'passing'],
    [413, 'permanent'],
    [429, 'passing'],
    [500, 'passing'],
    [503, 'passing'],
  ])('of %d is %s, and told in its own words', async (status, outcome) => {
    const { sender } = await listen(answering(status, {}, complaint))
    const failure = await failureOf(sender.send(mail, NEVER))
    expect(failure.outcome).toBe(outcome)
    expect(failure.message).toBe(`SendGrid answered ${status}: The from address is not verified.; And more.`)
  })

  test('that repeats our key or a link of the mail is told without them', async () => {
    const quoted = 'No such key: Bearer SG.abcdefgh.ijklmnop. Refused: https://app.example/verify-email?code=Xy12345678'
    const { sender } = await listen(answering(400, {}, JSON.stringify({ errors: [{ message: quoted }] })))
    expect((await failureOf(sender.send(mail, NEVER))).message).toBe(
      'SendGrid answered 400: No such key: Bearer *** Refused: https://app.example/verify-email?code=***',
    )
  })

  test.each<[string, number | undefined]>([
    ['7', 7000],
    ['Thu, 01 Jan 1970 00:00:00 GMT', undefined],
    ['soon', undefined],
  ])('with Retry-After %s', async (header, expected) => {
    const { sender } = await listen(answering(429, { 'retry-after': header }))
    expect((await failureOf(sender.send(mail, NEVER))).options.retryAfterMs).toBe(expected)
  })

  test.each(['', '<html>Bad gateway</html>', 'null', '{"errors":"none"}', '{"errors":[null]}'])('that says %p', async (body) => {
    const { sender } = await listen(answering(502, {}, body))
    expect(await failureOf(sender.send(mail, NEVER))).toMatchObject({ outcome: 'passing', message: 'SendGrid answered 502' })
  })

  test('that leads elsewhere is not followed', async () => {
    const { calls, sender } = await listen(answering(307, { location: '/elsewhere' }))
    expect(await failureOf(sender.send(mail, NEVER))).toMatchObject({ outcome: 'passing', message: 'SendGrid answered 307' })
    expect(calls).toHaveLength(1)
  })

  test('without end is cut, and stands', async () => {
    const { calls, sender } = await listen((response) => {
      response.writeHead(400)
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(65_536)));
      }
      response.on('drain', more)
      more()
    })
    expect(await failureOf(sender.send(mail, NEVER))).toMatchObject({ outcome: 'permanent', message: 'SendGrid answered 400' })
    await closed(calls[0]?.socket as Socket)
  })

  test('that breaks off in the middle stands too', async () => {
    const { sender } = await listen((_, socket) => socket.end('HTTP/1.1 500 Oh\r\ncontent-length: 100\r\n\r\n{"errors":'))
    expect(await failureOf(sender.send(mail, NEVER))).toMatchObject({ outcome: 'passing', message: 'SendGrid answered 500' })
  })
})

describe('no answer', () => {
  test('in time: unknown, and the connection is closed', async () => {
    const stop = new AbortController()
    const { calls, sender } = await listen(() => stop.abort())
    expect(await failureOf(sender.send(mail, stop.signal))).toMatchObject({
      outcome: 'unknown',
      message: 'the provider did not answer in time',
    })
    await closed(calls[0]?.socket as Socket)
  })

  test.each<[string, (response: ServerResponse, socket: Socket) => unknown]>([
    ['nothing', (_, socket) => socket.destroy()],
    ['half a line', (_, socket) => socket.end('HTTP/1.1 202 Acc')],
    ['what is no HTTP', (_, socket) => socket.end('220 mail.example ESMTP\r\n\r\n')],
  ])('on a connection that was good before, but %s: unknown, and not asked for again', async (_, cut) => {
    const { calls, sender } = await listen(answering(202), cut)
    await sender.send(mail, NEVER)
    expect((await failureOf(sender.send(mail, NEVER))).outcome).toBe('unknown')
    expect(calls).toHaveLength(2)
    expect(calls[0]?.socket.remotePort).toBe(calls[1]?.socket.remotePort as number)
  })

  test('where nobody listens: it was sent nothing', async () => {
    const sender = createSendGrid({ apiKey: 'SG.test', baseUrl: 'http://127.0.0.1:1' })
    expect((await failureOf(sender.send(mail, NEVER))).outcome).toBe('passing')
  })
})
