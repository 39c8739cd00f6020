import { afterEach, expect, test } from 'bun:test'
import { createServer, type Server, type Socket } from 'node:net'
import { mail } from '../../../tests/support/mail'
import { createSmtp } from './smtp'

/** A mail server that answers each command by its first word; `null` cuts the connection, `undefined` (absent) is a 250. */
type Script = Record<string, string | null>

let server: Server | undefined
const sockets = new Set<Socket>()
afterEach(() => {
  for (const socket of sockets) socket.destroy()
  sockets.clear()
  server?.close()
})

async function listen(script: Script) {
  const commands: string[] = []
  const messages: string[] = []
  server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => sockets.delete(socket))
    const answer = (word: string, fallback: string) => {
      const reply = script[word] === undefined ? fallback : script[word]
      if (reply === null) socket.destroy()
      else if (reply !== '') socket.write(`${reply}\r\n`)
    }
    let data: string | undefined
    let buffer = ''
    answer('GREETING', '220 ready')
    socket.on('data', (chunk) => {
      buffer += chunk
      for (let end = buffer.indexOf('\r\n'); end >= 0; end = buffer.indexOf('\r\n')) {
        const line = buffer.slice(0, end)
        buffer = buffer.slice(end + 2)
        if (data === undefined) {
          commands.push(line)
          const word = line.split(/[ :]/)[0]?.toUpperCase() ?? ''
          if (word === 'DATA' && script.DATA === undefined) data = ''
          answer(word, word === 'DATA' ? '354 go on' : '250 ok')
        } else if (line === '.') {
          messages.push(data)
          data = undefined
          answer('MESSAGE', '250 taken')
        } else data += `${line}\n`
      }
    })
  })
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  const port = (server.address() as { port: number }).port
  return { port, commands, messages, sender: createSmtp({ host: '127.0.0.1', port, useTls: false, useSsl: false, timeoutMs: 1000 }) }
}

test('one recipient, the fixed subject, both bodies, and the delivery in Message-ID and header', async () => {
  const { commands, messages, sender } = await listen({})
  await sender.send(mail, new AbortController().signal)
  expect(commands.filter((line) => line.startsWith('RCPT'))).toEqual(['RCPT TO:<sam@acme.example>'])
  expect(messages[0]).toContain('Subject: Email Verification - Evo AI')
  expect(messages[0]).toContain(`Message-ID: <${mail.id}@evo.example>`)
  expect(messages[0]).toContain(`X-Evo-Delivery-ID: ${mail.id}`)
  expect(messages[0]).toContain('text/plain')
  expect(messages[0]).toContain('text/html')
  sender.close()
})

test.each<[string, Script, string]>([
  ['the recipient is refused for good', { RCPT: '550 no such user' }, 'permanent'],
  ['the recipient is refused for now', { RCPT: '451 greylisted' }, 'passing'],
  ['the message is refused for good', { MESSAGE: '554 no' }, 'permanent'],
  ['the message is refused for now', { MESSAGE: '452 full' }, 'passing'],
  ['the server is busy', { GREETING: '421 later' }, 'passing'],
  ['the server does not greet (defect 59)', { GREETING: '' }, 'passing'],
  ['the connection breaks after the message', { MESSAGE: null }, 'unknown'],
  ['no answer comes to the message', { MESSAGE: '' }, 'unknown'],
])('when %s', async (_, script, outcome) => {
  const { sender } = await listen(script)
  await expect(sender.send(mail, AbortSignal.timeout(4000))).rejects.toMatchObject({ name: 'SendFailure', outcome })
  sender.close()
})

test('a link of the mail that the server repeats is not kept with the refusal', async () => {
  const { sender } = await listen({ MESSAGE: '554 blocked: https://app.example/verify-email?code=Xy12345678' })
  const failure = await sender.send(mail, AbortSignal.timeout(4000)).catch((error: Error) => error)
  expect(failure).toMatchObject({ name: 'SendFailure', message: expect.stringContaining('verify-email?code=***') })
  sender.close()
})

test('when nobody listens, nothing was sent', async () => {
  const sender = createSmtp({ host: '127.0.0.1', port: 1, useTls: true, useSsl: false, timeoutMs: 1000 })
  await expect(sender.send(mail, AbortSignal.timeout(4000))).rejects.toMatchObject({ outcome: 'passing' })
  sender.close()
})

test('a server without STARTTLS is given nothing when TLS is demanded', async () => {
  const { port, commands } = await listen({ STARTTLS: '502 unknown' })
  const strict = createSmtp({ host: '127.0.0.1', port, useTls: true, useSsl: false, user: 'u', password: 'p', timeoutMs: 1000 })
  await expect(strict.send(mail, AbortSignal.timeout(4000))).rejects.toMatchObject({ outcome: 'passing' })
  expect(commands.some((line) => /^(AUTH|MAIL)/.test(line))).toBe(false)
  strict.close()
})
