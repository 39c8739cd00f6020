import type { SourceTable } from './source'

export interface TableReport {
  /** Rows in the old database. */
  found: number
  imported: number
  /** There already, by an earlier import: left as they are now. */
  present: number
  leftOut: number
}

export interface Remark {
  table: SourceTable
  id: string
  /** What could not come over, or came over otherwise than it was. */
  kind: 'left-out' | 'changed'
  why: string
}

export type ImportReport = ReturnType<typeof createReport>

/** What became of each row. Every row of a table is noted once as imported, present or left out; remarks about imported rows come on top. */
export function createReport() {
  const tables = new Map<SourceTable, TableReport>()
  const remarks: Remark[] = []
  const of = (table: SourceTable) => {
    const known = tables.get(table)
    if (known !== undefined) return known
    const fresh = { found: 0, imported: 0, present: 0, leftOut: 0 }
    tables.set(table, fresh)
    return fresh
  }
  return {
    tables,
    remarks,
    found: (table: SourceTable, rows: number) => {
      of(table).found = rows
    },
    imported: (table: SourceTable, rows: number) => {
      of(table).imported += rows
    },
    present: (table: SourceTable, rows: number) => {
      of(table).present += rows
    },
    leaveOut: (table: SourceTable, id: string, why: string) => {
      of(table).leftOut += 1
      remarks.push({ table, id, kind: 'left-out', why })
    },
    change: (table: SourceTable, id: string, why: string) => {
      remarks.push({ table, id, kind: 'changed', why })
    },
    /** Adds what was noted apart, for one page: a transaction may be tried more than once before it counts. */
    absorb(page: { tables: Map<SourceTable, TableReport>; remarks: Remark[] }) {
      for (const [table, { imported, present, leftOut }] of page.tables) {
        const sum = of(table)
        sum.imported += imported
        sum.present += present
        sum.leftOut += leftOut
      }
      remarks.push(...page.remarks)
    },
  }
}

const SHOWN_IDS = 5

/** For a terminal: a row per table, then each reason with the first ids that it holds for. */
export function showReport({ tables, remarks }: ImportReport): string {
  const rows = [
    ['table', 'found', 'imported', 'there already', 'left out'],
    ...[...tables].map(([table, { found, imported, present, leftOut }]) => [table, found, imported, present, leftOut].map(String)),
  ]
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  const lines = rows.map((row) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  '),
  )
  const reasons = Map.groupBy(
    remarks,
    ({ table, kind, why }) => `${table}, ${kind === 'left-out' ? 'left out' : 'imported, changed'}: ${why}`,
  )
  for (const [reason, of] of reasons) {
    const more = of.length > SHOWN_IDS ? ` and ${of.length - SHOWN_IDS} more` : ''
    lines.push(
      '',
      reason,
      `  ${of.length} × ${of
        .slice(0, SHOWN_IDS)
        .map(({ id }) => id)
        .join(', ')}${more}`,
    )
  }
  return lines.join('\n')
}
