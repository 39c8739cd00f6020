import { residentMb } from '../child'
import type { Options } from '../options'
import { type Finding, megabytes, ofRounds, round } from '../report'
import { alternate, quantile, type Side } from '../rounds'
import { MODEL, type Stage } from '../stage'

/** A stream takes a good second: so many rounds' length gives each of few streams several starts. */
const SECONDS_FACTOR = 1.2

/** Milliseconds from sending the request to the first piece of text. */
type FirstTokens = number[]

export async function chat(stage: Stage, options: Options): Promise<Finding[]> {
  return [await measure(stage, options, 1), await measure(stage, options, 50)]
}

async function measure(stage: Stage, { rounds, seconds }: Options, streams: number): Promise<Finding> {
  const lasting = seconds * SECONDS_FACTOR
  const throughServer: Side<FirstTokens> = (turn) => hold(streams, lasting, (stream) => ask(stage, `bench-${streams}-${turn}-${stream}`))
  const direct: Side<FirstTokens> = () => hold(streams, lasting, () => callProvider(stage))
  const results = await alternate(rounds, { server: throughServer, floor: direct })
  const added = (q: number) => ofRounds(results.map(({ server, floor }) => quantile(server, q) - quantile(floor, q)))
  const all = { server: results.flatMap(({ server }) => server), floor: results.flatMap(({ floor }) => floor) }
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
    title: `POST /api/v1/chat/{agent}/{external}?stream=true, time to the first token at ${streams} stream${streams === 1 ? '' : 's'}`,
    notes: [
      'provider in a process of its own: first token after 100 ms, then 50 pieces of 20 ms; direct: fetch to it with as many streams',
      'streams begin at random moments, each begins anew when it has ended; signed in, new session a stream and round; no worker',
    ],
    rows: [rowOf('server', all.server, stage.api.pid), rowOf('direct', all.floor, stage.provider.pid)],
    verdicts: [
      { what: 'added to the first token, p50', ...added(0.5), goal: { atMost: 3 }, unit: ' ms' },
      // With one stream there are too few calls for a p99 of the server alone.
      ...(streams > 1 ? [{ what: 'added to the first token, p99', ...added(0.99), goal: { atMost: 15 }, unit: ' ms' }] : []),
    ],
  }
}

const STREAM_MS = 1100

/** Keeps `streams` of them going, whose beginnings are spread over a stream's length. */
async function hold(streams: number, seconds: number, call: (stream: number) => Promise<number>): Promise<FirstTokens> {
  const until = performance.now() + seconds * 1000
  const tookMs: number[] = []
  const one = async (stream: number) => {
    await Bun.sleep(Math.random() * Math.min(STREAM_MS, streams * 50))
    while (performance.now() < until) {
      tookMs.push(await call(stream))
      await Bun.sleep(Math.random() * 100)
    }
  }
  await Promise.all(Array.from({ length: streams }, (_, stream) => one(stream)))
  return tookMs
}

const QUESTION = 'Where is my order 4711, and when will it be here?'

const ask = ({ api, agentIds: [agent], tokens }: Stage, externalId: string) =>
  firstToken(`${api.url}/api/v1/chat/${agent}/${externalId}?stream=true`, {
    headers: { 'content-type': 'application/json', authorization: `Bearer ${tokens.reader}` },
    body: JSON.stringify({ message: QUESTION }),
  })

const callProvider = ({ provider }: Stage) =>
  firstToken(`${provider.url}/v1/chat/completions`, {
    headers: { 'content-type': 'application/json', authorization: 'Bearer sk-bench' },
    body: JSON.stringify({ model: MODEL.split('/')[1], stream: true, messages: [{ role: 'user', content: QUESTION }] }),
  })

/** Reads the stream to its end. @throws Error when it holds fewer pieces than the provider sends */
async function firstToken(url: string, request: { headers: Record<string, string>; body: string }): Promise<number> {
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
  if (firstMs === undefined || !text.includes(' word49')) throw new Error(`${url} sent no whole answer: ${text.slice(-500)}`)
  return firstMs
}
