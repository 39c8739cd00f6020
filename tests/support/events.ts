/** One server-sent event, as a client reads it (HTML §9.2.6). */
export interface StreamedEvent {
  id: number
  type: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into data of every shape
  data: any
}

/**
 * Reads an event stream to its end, or until `until` says so; a connection that breaks is the end too.
 * Returns what came, in order.
 */
export async function readEvents(response: Response, until: (event: StreamedEvent) => boolean = () => false): Promise<StreamedEvent[]> {
  const events: StreamedEvent[] = []
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { value, done } = (await reader?.read()) ?? { done: true, value: undefined }
      if (done) return events
      rest += value
      const blocks = rest.split('\n\n')
      rest = blocks.pop() ?? ''
      for (const block of blocks) {
        const event = parse(block)
        if (event === undefined) continue
        events.push(event)
        if (until(event)) {
          await reader?.cancel()
          return events
        }
      }
    }
  } catch {
    // The server is gone: what it sent counts.
    return events
  }
}

function parse(block: string): StreamedEvent | undefined {
  const fields = Object.fromEntries(
    block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  )
  return fields.data === undefined ? undefined : { id: Number(fields.id), type: String(fields.event), data: JSON.parse(fields.data) }
}

/** The text that a client shows: pieces appended, a reset forgets. */
export function shownText(events: StreamedEvent[]): string {
  let text = ''
  for (const { type, data } of events) {
    if (type === 'text-delta') text += data.text
    if (type === 'text-reset') text = ''
  }
  return text
}
