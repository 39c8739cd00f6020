import { cpus } from 'node:os'
import { join } from 'node:path'
import { findPostgresPrograms } from '../support/native-postgres'
import { median } from './rounds'

/** One figure, held against its goal. */
export interface Verdict {
  what: string
  value: number
  /** Of the rounds. */
  least: number
  most: number
  /** Without one the figure is only told. */
  goal?: { atLeast: number } | { atMost: number }
  unit?: string
}

export interface Finding {
  title: string
  /** How it was measured, and what was not running. */
  notes: string[]
  /** What both sides did, a row each. */
  rows: { side: string; cells: Record<string, string> }[]
  verdicts: Verdict[]
}

export function print(finding: Finding) {
  const lines = ['', finding.title, ...finding.notes.map((note) => `  ${note}`), '', ...table(finding.rows)]
  for (const { what, value, least, most, goal, unit = '' } of finding.verdicts) {
    const range = least === most ? '' : ` (${round(least)}–${round(most)})`
    lines.push(`  ${what}: ${round(value)}${unit}${range}${goal === undefined ? '' : judged(value, goal, unit)}`)
  }
  process.stdout.write(`${lines.join('\n')}\n`)
}

function judged(value: number, goal: NonNullable<Verdict['goal']>, unit: string): string {
  const [sign, bound, reached] = 'atLeast' in goal ? ['≥', goal.atLeast, value >= goal.atLeast] : ['≤', goal.atMost, value <= goal.atMost]
  return `, goal ${sign} ${bound}${unit}: ${reached ? 'reached' : 'BELOW GOAL'}`
}

export const round = (value: number): string =>
  value >= 1000 ? String(Math.round(value)) : value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)
export const megabytes = (value: number | undefined) => (value === undefined ? '-' : `${value} MB`)

/** The median of the rounds, and how far they lie apart. */
export function ofRounds(values: number[]): Pick<Verdict, 'value' | 'least' | 'most'> {
  return { value: median(values), least: Math.min(...values), most: Math.max(...values) }
}

function table(rows: Finding['rows']): string[] {
  const names = Object.keys(rows[0]?.cells ?? {})
  const width = (name: string) => Math.max(name.length, ...rows.map(({ cells }) => (cells[name] ?? '').length))
  const sideWidth = Math.max(...rows.map(({ side }) => side.length))
  return [
    `  ${' '.repeat(sideWidth)}  ${names.map((name) => name.padStart(width(name))).join('  ')}`,
    ...rows.map(
      ({ side, cells }) => `  ${side.padEnd(sideWidth)}  ${names.map((name) => (cells[name] ?? '').padStart(width(name))).join('  ')}`,
    ),
    '',
  ]
}

/** What the figures depend on. */
export async function machineLine(): Promise<string> {
  const ask = async (program: string) => {
    const answer = await Bun.$`${program} --version`.nothrow().quiet().text()
    return /(?:v=|\) )(\d[\w.]*)/.exec(answer)?.[1] ?? '?'
  }
  const versions = await Promise.all([ask(join(findPostgresPrograms() ?? '', 'postgres')), ask('redis-server')])
  return `${cpus().length} cores (${cpus()[0]?.model.trim()}), Bun ${Bun.version}, PostgreSQL ${versions[0]}, Redis ${versions[1]}`
}
