import { residentMb } from '../child'
import type { Options } from '../options'
import { type Finding, megabytes, ofRounds, round } from '../report'
import { alternate, quantile, type Side } from '../rounds'
import { defineAgent } from '../seed'
import type { Stage } from '../stage'

interface Streams {
  count: number
  /** Of one answer, 20 ms apart. */
  pieces: number
  agentId: string
}

/** Milliseconds from sending the request to the first piece of text, of each call. */
type FirstTokens = number[]

/** The one stream comes last: what it meets is warm. */
export async function chat(stage: Stage, options: Options): Promise<Finding[]> {
  const { api, tokens, people } = stage
  const findings: Finding[] = []
  for (const { count, pieces } of [
    { count: 50, pieces: 150 },
    { count: 1, pieces: 10 },
  ]) {
    const agentId = await defineAgent(api.url, tokens.reader, people.reader.clientId, `openai/paced-${pieces}`)
    findings.push(await measure(stage, options, { count, pieces, agentId }))
  }
  return findings
}

async function measure(stage: Stage, { rounds, seconds }: Options, streams: Streams): Promise<Finding> {
  const { count, pieces } = streams
  const throughServer: Side<FirstTokens> = (turn) =>
    hold(streams, seconds, (stream) => ask(stage, streams, `bench-${count}-${turn}-${stream}`))
  const direct: Side<FirstTokens> = () => hold(streams, seconds, () => callProvider(stage, streams))
  const results = await alternate(rounds, { server: throughServer, floor: direct })
  const all = { server: results.flatMap(({ server }) => server), floor: results.flatMap(({ floor }) => floor) }
  const added = (q: number) => ({
    ...ofRounds(results.map(({ server, floor }) => quantile(server, q) - quantile(floor, q))),
    value: quantile(all.server, q) - quantile(all.floor, q),
  })
  const rowOf = (side: string, tookMs: number[], pid: number) => ({
    side,
    cells: {
      calls: String(tookMs.length),
      'p50 ms': round(quantile(tookMs, 0.5)),
      'p99 ms': round(quantile(tookMs, 0.99)),
      RSS: megabytes(residentMb(pid)),
    },
  })
  return {
    title: `POST /api/v1/chat/{agent}/{external}?stream=true, time to the first token at ${count} stream${count === 1 ? '' : 's'}`,
    notes: [
      `provider in a process of its own: first token after 100 ms, ${pieces} pieces, one every 20 ms; direct: fetch to it with as many streams`,
      'streams begin at random moments, and anew when they have ended; signed in, a session for each stream and round; no worker',
    ],
    rows: [rowOf('server', all.server, stage.api.pid), rowOf('direct', all.floor, stage.provider.pid)],
    verdicts: [
      { what: 'added to the first token, p50', ...added(0.5), goal: { atMost: 3 }, unit: ' ms' },
      // One stream makes too few calls for a p99.
      ...(count > 1 ? [{ what: 'added to the first token, p99', ...added(0.99), goal: { atMost: 15 }, unit: ' ms' }] : []),
    ],
  }
}

/** Keeps the streams going for `seconds` and lets them end; their beginnings are spread over the length of one. */
async function hold({ count, pieces }: Streams, seconds: number, call: (stream: number) => Promise<number>): Promise<FirstTokens> {
  const spreadMs = count === 1 ? 0 : 100 + pieces * 20
  const until = performance.now() + spreadMs + seconds * 1000
  const tookMs: number[] = []
  const one = async (stream: number) => {
    await Bun.sleep(Math.random() * spreadMs)
    while (performance.now() < until) {
      tookMs.push(await call(stream))
      await Bun.sleep(Math.random() * 100)
    }
  }
  await Promise.all(Array.from({ length: count }, (_, stream) => one(stream)))
  return tookMs
}

const QUESTION = 'Where is my order 4711, and when will it be here?'

const ask = ({ api, tokens }: Stage, { agentId, pieces }: Streams, externalId: string) =>
  firstToken(`${api.url}/api/v1/chat/${agentId}/${externalId}?stream=true`, pieces, {
    headers: { 'content-type': 'application/json', authorization: `Bearer ${tokens.reader}` },
    body: JSON.stringify({ message: QUESTION }),
  })

const callProvider = ({ provider }: Stage, { pieces }: Streams) =>
  firstToken(`${provider.url}/v1/chat/completions`, pieces, {
    headers: { 'content-type': 'application/json', authorization: 'Bearer sk-bench' },
    body: JSON.stringify({ model: `paced-${pieces}`, stream: true, messages: [{ role: 'user', content: QUESTION }] }),
  })

/** Reads the stream to its end. @throws Error when it lacks the provider's last piece */
async function firstToken(url: string, pieces: number, request: { headers: Record<string, string>; body: string }): Promise<number> {
  const startedAt = performance.now()
  const answer = await fetch(url, { method: 'POST', ...request })
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
  return firstMs
}
