import { once } from 'node:events'
import { residentMb } from '../child'
import type { Options } from '../options'
import { type Finding, ofRounds } from '../report'
import type { Stage } from '../stage'

const SOCKETS = 5000
/** Fewer than the server lets one address open without saying who they are. */
const AT_ONCE = 20
/** Long enough for what the connecting left behind to be collected. */
const REST_MS = 10_000
const READY_MS = 10_000

/** What an open chat that nobody writes in costs the API process. */
export async function sockets(stage: Stage, _options: Options): Promise<Finding> {
  const warm = await openAll(stage, 100)
  await closeAll(warm)
  await Bun.sleep(REST_MS)
  const before = memoryOf(stage)
  const open = await openAll(stage, SOCKETS)
  await Bun.sleep(REST_MS)
  const after = memoryOf(stage)
  const gone = open.filter(({ readyState }) => readyState !== WebSocket.OPEN).length
  await closeAll(open)
  if (gone > 0) throw new Error(`${gone} of ${SOCKETS} sockets were closed by the server`)
  return {
    title: `Memory of ${SOCKETS} idle sockets at /api/v1/chat/ws/{agent}/{external}`,
    notes: [
      `each authorized and welcomed, a session each; resident memory of the API process ${REST_MS / 1000} s after the last one, against before the first`,
    ],
    rows: [
      { side: 'without', cells: { RSS: `${before} MB` } },
      { side: 'with', cells: { RSS: `${after} MB` } },
    ],
    verdicts: [{ what: 'an idle socket', ...ofRounds([((after - before) * 1024) / SOCKETS]), unit: ' KB' }],
  }
}

function memoryOf({ api }: Stage): number {
  const megabytes = residentMb(api.pid)
  if (megabytes === undefined) throw new Error('the memory of a process is read from /proc, which is not there')
  return megabytes
}

async function openAll(stage: Stage, count: number): Promise<WebSocket[]> {
  const open: WebSocket[] = []
  let next = 0
  const lane = async () => {
    for (let number = next++; number < count; number = next++) open.push(await openOne(stage, number))
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
  return open
}

/** Open once the server has said `ready`. */
async function openOne({ api, tokens, agentIds }: Stage, number: number): Promise<WebSocket> {
  const socket = new WebSocket(`${api.url.replace('http', 'ws')}/api/v1/chat/ws/${agentIds[0]}/idle-${number}?deltas=true`)
  const signal = AbortSignal.timeout(READY_MS)
  await once(socket, 'open', { signal })
  const welcome = once(socket, 'message', { signal })
  socket.send(JSON.stringify({ type: 'authorization', token: tokens.reader }))
  const [{ data }] = (await welcome) as [MessageEvent]
  if (JSON.parse(String(data)).type !== 'ready') throw new Error(`the server did not let us in: ${data}`)
  return socket
}

async function closeAll(open: WebSocket[]): Promise<void> {
  await Promise.all(
    open.map((socket) => {
      const closed = once(socket, 'close')
      socket.close()
      return socket.readyState === WebSocket.CLOSED ? undefined : closed
    }),
  )
}
