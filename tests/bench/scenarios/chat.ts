import { residentMb } from '../child'
import type { Options } from '../options'
import { type Finding, megabytes, ofRounds, round } from '../report'
import { alternate, quantile, type Side } from '../rounds'
import { defineAgent, seedEndedRuns } from '../seed'
import type { Stage } from '../stage'
import { askAgent, askProvider, readStream, type StreamedCall } from '../streamed-call'

interface Streams {
  count: number
  /** Of one answer, 20 ms apart. */
  pieces: number
  agentId: string
}

/** Of the same client, in the database before. */
const ENDED_RUNS = 100_000

/** Milliseconds from sending the request to the first piece of text, of each call. */
type FirstTokens = number[]

/** The many come last: they would leave a heap behind that the others wait for. */
export async function chat(stage: Stage, options: Options): Promise<Finding[]> {
  const { api, tokens, people } = stage
  const findings: Finding[] = []
  const [former = ''] = stage.agentIds
  await seedEndedRuns(stage.databaseUrl, { clientId: people.reader.clientId, agentId: former, count: ENDED_RUNS })
  for (const { count, pieces } of [
    { count: 50, pieces: 150 },
    { count: 1, pieces: 10 },
    { count: 500, pieces: 150 },
  ]) {
    const agentId = await defineAgent(api.url, tokens.reader, people.reader.clientId, `openai/paced-${pieces}`)
    findings.push(await measure(stage, options, { count, pieces, agentId }))
  }
  return findings
}

async function measure(stage: Stage, { rounds, seconds }: Options, streams: Streams): Promise<Finding> {
  const { count, pieces, agentId } = streams
  const model = `paced-${pieces}`
  const throughServer: Side<FirstTokens> = (turn) =>
    hold(streams, seconds, (stream) => firstMs(askAgent(stage, agentId, `bench-${count}-${turn}-${stream}`), pieces))
  const direct: Side<FirstTokens> = () => hold(streams, seconds, () => firstMs(askProvider(stage, model), pieces))
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
      `among ${ENDED_RUNS} runs of the client that have ended`,
    ],
    rows: [rowOf('server', all.server, stage.api.pid), rowOf('direct', all.floor, stage.provider.pid)],
    verdicts: [
      { what: 'added to the first token, p50', ...added(0.5), ...goalAt(count, 3), unit: ' ms' },
      // One stream makes too few calls for a p99.
      ...(count > 1 ? [{ what: 'added to the first token, p99', ...added(0.99), ...goalAt(count, 15), unit: ' ms' }] : []),
    ],
  }
}

/** 500 streams are more than two cores carry without waiting: what they add is told, and has no goal. */
const goalAt = (count: number, atMost: number) => (count > 50 ? {} : { goal: { atMost } })

const firstMs = async (call: StreamedCall, pieces: number) => (await readStream(call, pieces)).firstMs

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
