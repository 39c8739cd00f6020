import { parseArgs } from 'node:util'
import { StartError } from '~/processes/start-error'
import { isFernetKey } from './import-evo-ai/fernet'
import { ImportInterrupted, importEvoAi } from './import-evo-ai/import'
import { type ImportReport, showReport } from './import-evo-ai/report'
import { SourceError } from './import-evo-ai/source'
import { runScript, type ScriptParts } from './script'

const USAGE = `Usage: bun run import:evo-ai --from postgres://user:password@host:5432/evo_ai [--dry-run] [--report FILE]

Brings clients, users with their passwords, folders, agents, provider keys, MCP servers, tools, sessions and events of an Evo AI 0.1.0 database over.
May be interrupted and repeated: what is there already is left as it is.
  --dry-run      finds out what would happen, and changes nothing
  --report FILE  writes every remark as a line of JSON
OLD_ENCRYPTION_KEY in the environment opens the old provider keys (the old server's ENCRYPTION_KEY; several separated by commas).
`

interface Options {
  from: string
  dryRun: boolean
  report: string | undefined
}

function readOptions(args: string[]): Options | undefined {
  try {
    const { values } = parseArgs({
      args,
      options: { from: { type: 'string' }, 'dry-run': { type: 'boolean', default: false }, report: { type: 'string' } },
    })
    if (values.from === undefined || !/^postgres(ql)?:\/\//.test(values.from)) return undefined
    return { from: values.from, dryRun: values['dry-run'], report: values.report }
  } catch (error) {
    // What parseArgs says of an unknown option.
    process.stderr.write(`${error instanceof Error ? error.message : error}\n\n`)
    return undefined
  }
}

/** `bun run import:evo-ai`. Returns the exit code: 0 when all is done, 1 when it could not be, 2 for wrong arguments, 130 when it was interrupted. */
async function run(args: string[], env: Record<string, string | undefined>): Promise<number> {
  const options = readOptions(args)
  if (options === undefined) {
    process.stderr.write(USAGE)
    return 2
  }
  const oldKeys = (env.OLD_ENCRYPTION_KEY ?? '').split(',').map((key) => key.trim())
  return runScript(env, 'import', {
    prepare() {
      if (!oldKeys.every((key) => key === '' || isFernetKey(key)))
        throw new StartError('OLD_ENCRYPTION_KEY is not a key of the old server: 32 bytes in URL-safe base64')
    },
    work: (parts) => bring(parts, options, oldKeys.filter(Boolean)),
  })
}

async function bring({ database, secrets }: ScriptParts, { from, dryRun, report: file }: Options, oldKeys: string[]): Promise<number> {
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort())
  try {
    const report = await importEvoAi({ database, secrets }, { from, oldKeys, dryRun, signal: stop.signal, onProgress: showProgress })
    process.stdout.write(`${dryRun ? 'Nothing was changed. An import would do this:\n' : ''}${showReport(report)}\n`)
    if (file !== undefined) await Bun.write(file, linesOf(report))
    return 0
  } catch (error) {
    if (error instanceof SourceError) throw new StartError(error.message, { cause: error })
    if (!(error instanceof ImportInterrupted)) throw error
    process.stderr.write(
      dryRun ? '\nInterrupted; nothing was changed.\n' : '\nInterrupted. The same command goes on where this one stopped.\n',
    )
    return 130
  }
}

const linesOf = ({ remarks }: ImportReport) => remarks.map((remark) => `${JSON.stringify(remark)}\n`).join('')

const BAR_LENGTH = 30

/** One line a table: redrawn in a terminal, printed at its end elsewhere. */
function showProgress({ table, done, of }: { table: string; done: number; of: number }) {
  const share = of === 0 ? 1 : Math.min(1, done / of)
  const bar = '█'.repeat(Math.round(share * BAR_LENGTH)).padEnd(BAR_LENGTH, '░')
  const line = `${table.padEnd(14)} ${bar} ${done} of ${of}`
  if (process.stderr.isTTY) process.stderr.write(`\r${line}${done >= of ? '\n' : ''}`)
  else if (done >= of) process.stderr.write(`${line}\n`)
}

if (import.meta.main) process.exit(await run(process.argv.slice(2), process.env))
