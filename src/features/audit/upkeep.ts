import { type Clock, systemClock } from '~/platform/clock'
import type { Database } from '~/platform/db'
import type { Log } from '~/platform/log'
import { currentMonth, dropPartition, listMonths, makePartition, monthAfter } from './queries/partitions'

export interface AuditUpkeep {
  /** Looks after the partitions once an hour until `signal` aborts. Several may run at once. */
  run(signal: AbortSignal): Promise<void>
  /** One round: the months that were made and dropped. */
  round(): Promise<{ made: string[]; dropped: string[] }>
}

export interface AuditUpkeepSettings {
  database: Database
  log: Log
  /** Whole months that are kept besides the current one; 0 keeps all. */
  retentionMonths: number
  clock?: Clock
  intervalMs?: number
}

const AHEAD = 2

/** Makes the partitions of this month and the next two, and drops those past the retention, oldest first. */
export function createAuditUpkeep({
  database,
  log,
  retentionMonths,
  clock = systemClock,
  intervalMs = 3_600_000,
}: AuditUpkeepSettings): AuditUpkeep {
  async function round() {
    const { db } = database
    const current = await currentMonth(db)
    const months = await listMonths(db)
    const made = [0, 1, AHEAD].map((ahead) => monthAfter(current, ahead)).filter((month) => !months.includes(month))
    for (const month of made) await database.transaction((tx) => makePartition(tx, month))
    const due = retentionMonths === 0 ? [] : months.filter((month) => month < monthAfter(current, -retentionMonths))
    const dropped: string[] = []
    for (const month of due) if (await database.transaction((tx) => dropPartition(tx, month))) dropped.push(month)
    if (made.length + dropped.length > 0) log.info('audit partitions looked after', { made, dropped })
    return { made, dropped }
  }

  return {
    round,
    async run(signal) {
      while (!signal.aborted) {
        await round().catch((error) => log.warn('audit partitions were not looked after', { error }))
        await clock.sleep(intervalMs, signal).catch(() => undefined) // aborted: the loop ends
      }
    },
  }
}
