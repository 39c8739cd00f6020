import type { Options } from '../options'
import { type Finding, ofRounds, round } from '../report'
import { alternate, median, type Side } from '../rounds'
import { defineAgent } from '../seed'
import type { Stage } from '../stage'
import { askAgent, askProvider, readStream, type StreamedCall } from '../streamed-call'

/** Of one answer: about as long as a page. */
const PIECES = 500
const STREAMS = [1, 50, 500]

/** Pieces of text a second, from a provider that never lets anybody wait. */
export async function stream(stage: Stage, options: Options): Promise<Finding[]> {
  const { api, tokens, people } = stage
  const agentId = await defineAgent(api.url, tokens.reader, people.reader.clientId, `openai/flat-out-${PIECES}`)
  const findings: Finding[] = []
  for (const count of STREAMS) findings.push(await measure(stage, options, agentId, count))
  return findings
}

interface Throughput {
  perSecond: number
  /** Requests that the server had no room for and that came again. */
  refusals: number
}

async function measure(stage: Stage, { rounds, seconds }: Options, agentId: string, count: number): Promise<Finding> {
  const server: Side<Throughput> = (turn) => hold(count, seconds, (number) => askAgent(stage, agentId, `stream-${count}-${turn}-${number}`))
  const floor: Side<Throughput> = () => hold(count, seconds, () => askProvider(stage, `flat-out-${PIECES}`))
  const results = await alternate(rounds, { server, floor })
  const cells = (side: 'server' | 'floor') => ({
    'pieces/s': round(median(results.map((result) => result[side].perSecond))),
    refused: String(results.reduce((sum, result) => sum + result[side].refusals, 0)),
  })
  return {
    title: `POST /api/v1/chat/{agent}/{external}?stream=true, throughput of ${count} stream${count === 1 ? '' : 's'}`,
    notes: [
      `provider in a process of its own: answers of ${PIECES} pieces as fast as they are read; direct: fetch to it with as many streams`,
      'a stream begins anew as soon as it has ended, with its session; every stream is read to its end and counts whole; refused: answers of 503, waited out',
    ],
    rows: [
      { side: 'server', cells: cells('server') },
      { side: 'direct', cells: cells('floor') },
    ],
    verdicts: [
      { what: 'pieces/s against a direct call', ...ofRounds(results.map(({ server, floor }) => server.perSecond / floor.perSecond)) },
    ],
  }
}

/** Streams that begin within `seconds`, up to the end of the last. */
async function hold(count: number, seconds: number, call: (number: number) => StreamedCall): Promise<Throughput> {
  const startedAt = performance.now()
  const until = startedAt + seconds * 1000
  let answers = 0
  let refusals = 0
  const one = async (number: number) => {
    do {
      refusals += (await readStream(call(number), PIECES)).refusals
      answers += 1
    } while (performance.now() < until)
  }
  await Promise.all(Array.from({ length: count }, (_, number) => one(number)))
  return { perSecond: (answers * PIECES * 1000) / (performance.now() - startedAt), refusals }
}
