import { watch } from 'node:fs'
import { join } from 'node:path'

/**
 * `bun run dev`: the server, stopped in order and started anew whenever a file of src/ or db/ changes. `bun --watch` would not do: it knows the
 * supervisor's modules and not those of the processes that it starts.
 */

const ROOT = join(import.meta.dir, '../..')
/** An editor writes several files at once. */
const SETTLE_MS = 150

let server = start()
let stopping = false
let timer: Timer | undefined

for (const folder of ['src', 'db'])
  watch(join(ROOT, folder), { recursive: true }, (_, name) => {
    if (name === null || /\.test\.ts$/.test(name)) return
    clearTimeout(timer)
    timer = setTimeout(() => void restart(name), SETTLE_MS)
  })

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    stopping = true
    // A terminal's ^C reaches the server too; a second signal would end it at once.
    if (signal !== 'SIGINT') server.kill('SIGTERM')
    void server.exited.then((code) => process.exit(code))
  })

async function restart(name: string) {
  if (stopping) return
  process.stdout.write(`\n${name} changed: starting again\n`)
  const before = server
  before.kill('SIGTERM')
  await before.exited
  if (!stopping && server === before) server = start()
}

function start() {
  return Bun.spawn([process.execPath, join(ROOT, 'src/main.ts')], { stdin: 'inherit', stdout: 'inherit', stderr: 'inherit' })
}
