import type { Stage } from './stage'

export interface StreamedCall {
  url: string
  headers: Record<string, string>
  body: string
}

const QUESTION = 'Where is my order 4711, and when will it be here?'

export const askAgent = ({ api, tokens }: Stage, agentId: string, externalId: string): StreamedCall => ({
  url: `${api.url}/api/v1/chat/${agentId}/${externalId}?stream=true`,
  headers: { 'content-type': 'application/json', authorization: `Bearer ${tokens.reader}` },
  body: JSON.stringify({ message: QUESTION }),
})

export const askProvider = ({ provider }: Stage, model: string): StreamedCall => ({
  url: `${provider.url}/v1/chat/completions`,
  headers: { 'content-type': 'application/json', authorization: 'Bearer sk-bench' },
  body: JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: QUESTION }] }),
})

export interface Streamed {
  /** From sending the request, when it was taken, to the first piece of text. */
  firstMs: number
  /** Answers of 503 before it was taken, each waited out as the server asked. */
  refusals: number
}

const MAX_REFUSALS = 60

/**
 * Reads the stream to its end.
 * @throws Error when it lacks the provider's last piece, or was never taken
 */
export async function readStream({ url, headers, body }: StreamedCall, pieces: number, refusals = 0): Promise<Streamed> {
  const startedAt = performance.now()
  const answer = await fetch(url, { method: 'POST', headers, body })
  if (answer.status === 503 && refusals < MAX_REFUSALS) {
    await answer.body?.cancel()
    await Bun.sleep(Number(answer.headers.get('retry-after') ?? 1) * 1000)
    return readStream({ url, headers, body }, pieces, refusals + 1)
  }
  if (!answer.ok || answer.body === null) throw new Error(`${url} answered ${answer.status}: ${await answer.text()}`)
  const decoder = new TextDecoder()
  let firstMs: number | undefined
  let text = ''
  for await (const bytes of answer.body) {
    text += decoder.decode(bytes, { stream: true })
    // The provider's pieces are ` word0`, ` word1` …
    if (firstMs === undefined && text.includes(' word0')) firstMs = performance.now() - startedAt
  }
  if (firstMs === undefined || !text.includes(` word${pieces - 1}`)) throw new Error(`${url} sent no whole answer: ${text.slice(-500)}`)
  return { firstMs, refusals }
}
