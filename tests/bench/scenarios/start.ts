import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startServer } from '../../start/running-server'
import { residentMb } from '../child'
import type { Options } from '../options'
import { type Finding, megabytes, ofRounds, round } from '../report'
import { median } from '../rounds'

const IDLE_MS = 5000

/** The whole server with nothing configured: embedded PostgreSQL and Redis, two or more API processes, a worker. */
export async function start(stack: AsyncDisposableStack, { rounds }: Options): Promise<Finding> {
  const folder = mkdtempSync(join(tmpdir(), 'evo-bench-start-'))
  stack.defer(() => rmSync(folder, { recursive: true, force: true }))
  const settings = { EVO_DATA_DIR: join(folder, 'data'), EVO_API_PROCESSES: '' }
  const seconds: number[] = []
  const idle: number[] = []
  // The first makes the database and is not counted.
  for (let at = 0; at <= rounds; at++) {
    const startedAt = performance.now()
    const server = startServer(settings)
    const stop = async () => {
      server.kill('SIGTERM')
      await server.exited()
    }
    stack.defer(stop)
    await server.ready()
    if (at > 0) seconds.push((performance.now() - startedAt) / 1000)
    if (at === rounds) {
      await Bun.sleep(IDLE_MS)
      idle.push(...server.pidsOf(' api-').flatMap((pid) => residentMb(pid) ?? []))
    }
    await stop()
  }
  return {
    title: 'Start to ready on warm data, embedded; idle memory',
    notes: [`from the shell's command to the banner; memory of ${idle.length} API processes ${IDLE_MS / 1000} s later`],
    rows: [{ side: 'server', cells: { seconds: round(median(seconds)), RSS: megabytes(Math.max(...idle)) } }],
    verdicts: [
      { what: 'start to ready', ...ofRounds(seconds), goal: { atMost: 2.5 }, unit: ' s' },
      { what: 'idle memory of an API process', ...ofRounds([Math.max(...idle)]), goal: { atMost: 150 }, unit: ' MB' },
    ],
  }
}
