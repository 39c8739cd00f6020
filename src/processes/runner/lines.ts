/** What a command may write before it is ended. */
export interface OutputLimits {
  /** Of one line, so also of what has no end of line. */
  lineBytes: number
  /** Of lines that are no messages. */
  junkBytes: number
  /** Of messages, over the whole life of the command, and in any ten seconds. */
  messageBytes: number
  messagesPerTenSeconds: number
}

/** A command has written more, or other things, than it may. */
export class OutputExceeded extends Error {
  override name = 'OutputExceeded'
}

const LINE_FEED = 10
const BRACE = '{'.charCodeAt(0)
const WINDOW_MS = 10_000

/**
 * Cuts what a command writes into messages of JSON-RPC, whole lines of it. Notifications, which nobody here acts on, and whatever is no message are
 * dropped, but counted.
 * @throws OutputExceeded
 */
export function createLineReader(limits: OutputLimits, now: () => number = () => performance.now()) {
  let pending: Buffer[] = []
  let pendingBytes = 0
  let junkBytes = 0
  let messageBytes = 0
  let windowStart = now()
  let inWindow = 0

  const take = (line: Buffer): string[] => {
    if (line.byteLength === 0 || (line.byteLength === 1 && line[0] === 13)) return []
    const message = line[0] === BRACE ? messageOf(line) : undefined
    if (message === undefined) {
      junkBytes += line.byteLength + 1
      if (junkBytes > limits.junkBytes) throw new OutputExceeded('it writes too much that is no message')
      return []
    }
    messageBytes += line.byteLength
    if (messageBytes > limits.messageBytes) throw new OutputExceeded('it writes too much')
    if (now() - windowStart > WINDOW_MS) {
      windowStart = now()
      inWindow = 0
    }
    if (++inWindow > limits.messagesPerTenSeconds) throw new OutputExceeded('it writes too many messages')
    return message.isNews ? [] : [message.text]
  }

  return (chunk: Buffer): string[] => {
    const messages: string[] = []
    let from = 0
    for (let at = chunk.indexOf(LINE_FEED); at !== -1; at = chunk.indexOf(LINE_FEED, from)) {
      const line = Buffer.concat([...pending, chunk.subarray(from, at)])
      pending = []
      pendingBytes = 0
      from = at + 1
      messages.push(...take(line))
    }
    if (from < chunk.byteLength) pending.push(chunk.subarray(from))
    pendingBytes += chunk.byteLength - from
    if (pendingBytes > limits.lineBytes) throw new OutputExceeded('it writes a line without an end')
    return messages
  }
}

function messageOf(line: Buffer): { text: string; isNews: boolean } | undefined {
  const text = line.toString('utf8')
  try {
    const message: unknown = JSON.parse(text)
    if (message === null || typeof message !== 'object' || !('jsonrpc' in message) || message.jsonrpc !== '2.0') return undefined
    return { text, isNews: !('id' in message) }
  } catch {
    return undefined // what looked like a message was none
  }
}
