import { sql } from 'drizzle-orm'
import type { Database, Db } from '~/platform/db'
import type { Secrets } from '~/platform/secrets'
import { bringEvents, bringSessions } from './conversations'
import { bringAgents, bringFolders, bringMcpServers, bringProviderKeys, bringTools } from './definitions'
import { bringClients, bringUsers } from './people'
import { createReport, type ImportReport } from './report'
import { type SourceRows, type SourceTable, withSource } from './source'
import type { World } from './world'

export interface ImportOptions {
  /** The 0.1.0 database. Only read. */
  from: string
  /** The old server's ENCRYPTION_KEYs, for provider keys. */
  oldKeys: string[]
  /** Finds out what would happen: everything is brought and taken back. */
  dryRun: boolean
  /** Stops after the page in hand; what has been brought stays, and the next import goes on behind it. */
  signal?: AbortSignal
  onProgress?: (progress: { table: SourceTable; done: number; of: number }) => void
}

/** Stopped by `signal` before its end. */
export class ImportInterrupted extends Error {
  override name = 'ImportInterrupted'
}

/**
 * Brings a 0.1.0 database over, page by page. Ids stay, and so what is there already, by an earlier or interrupted import, is left as it is now.
 * Parents come before their children: a row whose client, agent or session did not come over is left out and says so.
 * @throws SourceError, ImportInterrupted
 */
export async function importEvoAi(
  { database, secrets }: { database: Database; secrets: Secrets },
  { from, oldKeys, dryRun, signal, onProgress }: ImportOptions,
): Promise<ImportReport> {
  const bringAll = (inPage: InPage) =>
    withSource(from, async (source) => {
      const report = createReport()
      for (const step of STEPS) {
        const found = await source.count(step.table)
        report.found(step.table, found)
        let done = 0
        for await (const rows of source.pages(step.table, step.pageSize)) {
          if (signal?.aborted) throw new ImportInterrupted('the import was interrupted')
          const page = await inPage(async (tx) => {
            const notes = createReport()
            // The step's function is for the rows of its own table.
            await (step.bring as Bring<SourceTable>)({ tx, secrets, oldKeys, report: notes }, rows)
            return notes
          })
          report.absorb(page)
          done += rows.length
          onProgress?.({ table: step.table, done, of: found })
        }
      }
      return report
    })
  if (!dryRun) return bringAll((work) => database.transaction((tx) => alone(tx).then(() => work(tx))))
  return rehearse(database, bringAll)
}

type InPage = <T>(work: (tx: Db) => Promise<T>) => Promise<T>
type Bring<T extends SourceTable> = (world: World, rows: SourceRows[T][]) => Promise<void>

const step = <T extends SourceTable>(table: T, pageSize: number, bring: Bring<T>) => ({ table, pageSize, bring })

const STEPS = [
  step('clients', 200, bringClients),
  step('users', 200, bringUsers),
  step('agent_folders', 500, bringFolders),
  step('api_keys', 100, bringProviderKeys),
  step('mcp_servers', 100, bringMcpServers),
  step('tools', 100, bringTools),
  step('agents', 100, bringAgents),
  step('sessions', 200, bringSessions),
  // Events may hold files.
  step('events', 100, bringEvents),
]

/** Any constant: two imports at once take turns. */
const IMPORT_LOCK = 0x696d70
const alone = (tx: Db) => tx.execute(sql`select pg_advisory_xact_lock(${IMPORT_LOCK})`)

class Rehearsed extends Error {
  constructor(readonly report: ImportReport) {
    super('taken back')
  }
}

/** Everything in one transaction, which is then rolled back. */
async function rehearse(database: Database, bringAll: (inPage: InPage) => Promise<ImportReport>): Promise<ImportReport> {
  try {
    return await database.transaction(async (tx) => {
      await alone(tx)
      throw new Rehearsed(await bringAll((work) => work(tx)))
    })
  } catch (error) {
    if (error instanceof Rehearsed) return error.report
    throw error
  }
}
