import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One mail as SendGrid's v3 API is given it. */
export interface SunkMail {
  deliveryId: string
  to: string
  subject: string
  text: string
  html: string
  authorization: string
}

export type Reaction = { status: number; headers?: Record<string, string>; body?: unknown } | 'cut' | 'silence'

/** Speaks `POST /v3/mail/send`. Reactions are used up one call each; then everything is accepted. */
export async function startSendGridSink(reactions: Reaction[] = []) {
  const mails: SunkMail[] = []
  const server = createServer((request, response) => void take(request, response))

  async function take(request: IncomingMessage, response: ServerResponse) {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    mails.push(toMail(JSON.parse(Buffer.concat(chunks).toString()), request))
    const reaction = reactions.shift() ?? { status: 202, headers: { 'x-message-id': `sg-${mails.length}` } }
    if (reaction === 'silence') return
    if (reaction === 'cut') return void request.socket.destroy()
    response.writeHead(reaction.status, reaction.headers).end(reaction.body === undefined ? '' : JSON.stringify(reaction.body))
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    mails,
    reactions,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

interface Body {
  personalizations: { to: { email: string }[]; custom_args: { delivery_id: string } }[]
  subject: string
  content: { type: string; value: string }[]
  custom_args?: { delivery_id: string }
}

function toMail({ personalizations, subject, content, custom_args }: Body, { headers }: IncomingMessage): SunkMail {
  const recipients = personalizations.flatMap(({ to }) => to.map(({ email }) => email))
  return {
    deliveryId: custom_args?.delivery_id ?? personalizations[0]?.custom_args?.delivery_id ?? '',
    to: recipients.join(','),
    subject,
    text: content.find(({ type }) => type === 'text/plain')?.value ?? '',
    html: content.find(({ type }) => type === 'text/html')?.value ?? '',
    authorization: headers.authorization ?? '',
  }
}
