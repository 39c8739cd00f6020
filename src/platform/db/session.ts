import { Column, getTableName, is, noopDecoder, Param, Placeholder, type Query, SQL, Subquery } from 'drizzle-orm'
import {
  PgDatabase,
  PgDialect,
  PgPreparedQuery,
  type PgQueryResultHKT,
  PgSession,
  type PreparedQueryConfig,
  type SelectedFieldsOrdered,
} from 'drizzle-orm/pg-core'
import type { Result, Shape } from './connection'
import { decoders, encodeParameters } from './values'

/** What carries out statements: the pool, or one transaction. */
export interface Runner {
  run(text: string, parameters: unknown[], shape: Shape): Promise<Result>
}

/** Of raw SQL: the rows as objects, and how many were returned or changed. */
export interface RowsResult extends PgQueryResultHKT {
  readonly type: this['row'][] & { readonly count: number }
}

/**
 * Drizzle over our connections instead of `drizzle-orm/postgres-js`, which names no statement (two round trips instead of one), decodes JSON twice and
 * wraps every error in one whose message holds all parameters, secrets included.
 */
export function createDrizzle(dialect: PgDialect, runner: Runner) {
  const db = new PgDatabase<RowsResult>(dialect, new Session(dialect, runner), undefined)
  runners.set(db, runner)
  return db
}

const runners = new WeakMap<object, Runner>()

/** A prepared statement for another `db` than the one it was built with: its text does not depend on where it runs. */
export function onDb<T extends object>(statement: T, db: object): T {
  const runner = runners.get(db)
  if (runner === undefined || !(statement instanceof Statement)) throw new Error('only a prepared statement can run elsewhere')
  // A statement of the same type, which `instanceof` has hidden.
  return statement.on(runner) as object as T
}

/** A statement in plain SQL, made ready once: `onDb` says where it runs. */
export function prepareSql(statement: SQL) {
  return new Statement<PreparedQueryConfig & { execute: Result }>(NOWHERE, new PgDialect().sqlToQuery(statement), undefined, undefined)
}

const NOWHERE: Runner = {
  run: () => Promise.reject(new Error('a prepared statement runs on a database')),
}

class Session extends PgSession<RowsResult> {
  constructor(
    dialect: PgDialect,
    private readonly runner: Runner,
  ) {
    super(dialect)
  }

  prepareQuery<T extends PreparedQueryConfig>(
    query: Query,
    fields: SelectedFieldsOrdered | undefined,
    _name: string | undefined,
    _isResponseInArrayMode: boolean,
    mapRows?: (rows: unknown[][]) => T['execute'],
  ): PgPreparedQuery<T> {
    return new Statement<T>(this.runner, query, fields?.map(toCell), mapRows)
  }

  transaction(): never {
    throw new Error('Use Database.transaction: it alone retries, and tells what is known about the outcome')
  }
}

class Statement<T extends PreparedQueryConfig> extends PgPreparedQuery<T> {
  /** Set by Drizzle's builders: by name, the joined tables that have a row in every result. */
  readonly joinsNotNullableMap: Record<string, boolean> | undefined = undefined

  /** What reads each value, where that is known before the server says its types. */
  private readonly decode: Decode[] | undefined
  /** What each parameter is, once the values are known. */
  private readonly slots: Slot[]

  /** Of the values, where none is nested. */
  private readonly names: string[] | undefined

  constructor(
    private readonly runner: Runner,
    query: Query,
    private readonly cells: Cell[] | undefined,
    private readonly mapRows: ((rows: unknown[][]) => T['execute']) | undefined,
  ) {
    super(query, undefined, undefined)
    this.slots = query.params.map(slotOf)
    const known = cells?.flatMap(({ decode }) => decode ?? [])
    if (known?.length === cells?.length) this.decode = known
    if (cells?.every(({ path }) => path.length === 1)) this.names = cells.map(({ path: [name = ''] }) => name)
  }

  on(runner: Runner): Statement<T> {
    if (runner === this.runner) return this
    return Object.assign(Object.create(Statement.prototype), this, { runner })
  }

  async execute(values: Record<string, unknown> = {}): Promise<T['execute']> {
    const { cells, mapRows, slots } = this
    // Loops and no closures, here and below: every statement comes through, and what it leaves behind is collected while others wait.
    const parameters: unknown[] = []
    for (const slot of slots) parameters.push(slot(values))
    const result = await this.runner.run(this.query.sql, encodeParameters(parameters), cells || mapRows ? 'arrays' : 'rows')
    if (!cells && !mapRows) return decodeRows(result)
    // In this shape a row is an array, which the driver's types do not know.
    const rows = result as unknown as unknown[][]
    return mapRows ? mapRows(rows) : this.objectsOf(rows, result.columns)
  }

  private objectsOf(rows: unknown[][], columns: Result['columns']) {
    const cells = this.cells ?? []
    const decode = this.decode ?? cells.map((cell, index) => cell.decode ?? decoders[columns[index]?.type ?? 0])
    if (this.names === undefined) return this.nested(cells, decode, rows)
    const objects: object[] = []
    for (const row of rows) objects.push(flat(this.names, decode, row))
    return objects
  }

  private nested(cells: Cell[], decode: (Decode | undefined)[], rows: unknown[][]) {
    const { joinsNotNullableMap: joins } = this
    return rows.map((row) => {
      const nested = nest(cells, decode, row)
      if (joins) dropAbsent(nested, cells, row, joins)
      return nested
    })
  }
}

type Slot = (values: Record<string, unknown>) => unknown

/** As Drizzle fills placeholders, but looked at once, and null stays null: its JSON columns would make the JSON `null` of it. */
function slotOf(parameter: unknown): Slot {
  if (is(parameter, Placeholder)) return ({ [parameter.name]: value }) => given(parameter, value)
  if (!is(parameter, Param) || !is(parameter.value, Placeholder)) return () => parameter
  const { value: placeholder, encoder } = parameter
  return ({ [placeholder.name]: value }) => (value === null ? null : encoder.mapToDriverValue(given(placeholder, value)))
}

function given({ name }: Placeholder, value: unknown): unknown {
  if (value === undefined) throw new Error(`No value for placeholder "${name}" was provided`)
  return value
}

/** One selected value: where it goes in the row's object, and what reads it. */
interface Cell {
  path: string[]
  /** `undefined`: raw SQL, read by the type the server gives it. */
  decode: Decode | undefined
  /** Of a column: its table's name. */
  table: string | undefined
}

type Decode = (raw: string) => unknown

const asItIs: Decode = (raw) => raw
const readerOf = (column: Column): Decode =>
  column.mapFromDriverValue === Column.prototype.mapFromDriverValue ? asItIs : (raw) => column.mapFromDriverValue(raw)

function toCell({ path, field }: SelectedFieldsOrdered[number]): Cell {
  if (is(field, Column)) return { path, decode: readerOf(field), table: getTableName(field.table) }
  const expression = is(field, SQL) ? field : is(field, Subquery) ? field._.sql : field.sql
  // `decoder` is what `mapWith` set; Drizzle keeps it out of its types.
  const { decoder } = expression as unknown as { decoder: { mapFromDriverValue: Decode } }
  return { path, decode: decoder === noopDecoder ? undefined : (raw) => decoder.mapFromDriverValue(raw), table: undefined }
}

/** A row's values as Drizzle's object. */
function flat(names: string[], decode: (Decode | undefined)[], row: unknown[]) {
  const result: Record<string, unknown> = {}
  for (let index = 0; index < names.length; index++) result[names[index] as string] = readValue(row[index], decode[index])
  return result
}

/** The same when several tables are joined. */
function nest(cells: Cell[], decode: (Decode | undefined)[], row: unknown[]) {
  const result: Record<string, unknown> = {}
  cells.forEach(({ path }, index) => {
    place(result, path, readValue(row[index], decode[index]))
  })
  return result
}

const readValue = (raw: unknown, read: Decode | undefined) => (raw === null || read === undefined ? raw : read(raw as string))

/** A joined table without a row becomes null: all its columns are, and `always` does not name it. */
function dropAbsent(result: Record<string, unknown>, cells: Cell[], row: unknown[], always: Record<string, boolean>) {
  const absent = new Map<string, string | false>()
  cells.forEach(({ path: [name = '', column, ...deeper], table }, index) => {
    if (table === undefined || column === undefined || deeper.length > 0) return
    const seen = absent.get(name) ?? table
    absent.set(name, row[index] === null && seen === table ? table : false)
  })
  for (const [name, table] of absent) if (table !== false && !always[table]) result[name] = null
}

function place(result: Record<string, unknown>, path: string[], value: unknown) {
  let node = result
  for (const key of path.slice(0, -1)) {
    node[key] ??= {}
    node = node[key] as Record<string, unknown>
  }
  node[path.at(-1) ?? ''] = value
}

function decodeRows(result: Result): Result {
  for (const { name, type } of result.columns ?? []) {
    const decode = decoders[type]
    if (decode) for (const row of result) if (typeof row[name] === 'string') row[name] = decode(row[name])
  }
  return result
}
