import { join } from 'node:path'
import { describeSchema, renewed } from './data-model'
import { runScript } from './script'

const PAGE = join(import.meta.dir, 'README.md')

/** `bun run db:document`: renews db/README.md from the migrated schema. Returns the exit code. */
const run = (env: Record<string, string | undefined>): Promise<number> =>
  runScript(env, 'document', {
    async work({ config }) {
      await Bun.write(PAGE, renewed(await Bun.file(PAGE).text(), await describeSchema(config.database.url ?? '')))
      return 0
    },
  })

if (import.meta.main) process.exit(await run(process.env))
