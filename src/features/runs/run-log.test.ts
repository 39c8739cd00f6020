import { expect, test } from 'bun:test'
import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import { silentLog } from '~/platform/log'
import type { LiveLog } from './live-log'
import { createPersist } from './persist'
import type { OwnedRun } from './queries/owned'
import { openRunLog } from './run-log'
import type { SaveLog } from './save-log'

const run = { id: 'a run', leaseToken: 1 } as OwnedRun
const live = { append: async () => true, open() {}, show() {}, forget() {} } as unknown as LiveLog

function open(saveLog: SaveLog) {
  const failures: unknown[] = []
  const persist = createPersist({ run, log: silentLog, signal: new AbortController().signal })
  const runLog = openRunLog({
    db: {} as Db,
    saveLog,
    live,
    run,
    lastSeq: 0,
    log: silentLog,
    persist,
    failed: (error) => failures.push(error),
  })
  return { runLog, failures }
}

test('pieces that come while others are being stored are stored with the next ones', async () => {
  const stored: number[][] = []
  const started = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const { runLog, failures } = open(async ({ entries }) => {
    started.resolve()
    await goOn.promise
    stored.push(entries.map(({ seq }) => seq))
    return true
  })
  runLog.piece('text-delta', { text: 'a' })
  const first = runLog.flush()
  await started.promise
  runLog.piece('text-delta', { text: 'b' })
  goOn.resolve()
  await first
  await runLog.flush()
  runLog.close()
  expect(stored).toEqual([[1], [2]])
  expect(failures).toEqual([])
})

test('a write that is tried again writes what it wrote: half of it may be there already', async () => {
  const asked: number[][] = []
  const { runLog, failures } = open(async ({ entries }) => {
    asked.push(entries.map(({ seq }) => seq))
    if (asked.length > 1) return true
    runLog.piece('text-delta', { text: 'b' })
    throw new DomainError('dependency-unavailable', 'The answer was lost.')
  })
  runLog.piece('text-delta', { text: 'a' })
  await runLog.flush()
  await runLog.flush()
  runLog.close()
  expect(asked).toEqual([[1], [1], [2]])
  expect(failures).toEqual([])
})
