import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Log } from '~/platform/log'
import { type StdioConfig, stdioFaults } from '~/runtime/mcp/stdio-rules'
import { type Command, type CommandOptions, startCommand } from './command'
import { listProcesses } from './process-table'

export interface CommandsOptions {
  allowedCommands: readonly string[]
  /** Where commands are looked for. */
  path: string
  /** See the command's. */
  authorities: string | undefined
  maxCommands: number
  maxSeconds: number
  /** Of one command with all that it has started. */
  maxRssBytes: number
  /** Of one message. */
  maxMessageBytes: number
  log: Log
}

const MAX_PROCESSES = 64
const WATCH_MS = 500
const JUNK_BYTES = 262_144
const MESSAGES_OF_A_LIFE = 32
const MESSAGES_PER_TEN_SECONDS = 1000

/** Followed by the number of the process that they belong to. */
const FOLDERS = 'evo-mcp-'

/** What runners left that were killed. A process with our number was before us. */
function removeLeftOvers(log: Log) {
  for (const name of readdirSync(tmpdir())) {
    const pid = Number(new RegExp(`^${FOLDERS}(\\d+)-`).exec(name)?.[1])
    if (!(pid > 0) || (pid !== process.pid && isAlive(pid))) continue
    try {
      rmSync(join(tmpdir(), name), { recursive: true, force: true })
    } catch (error) {
      log.warn('a folder of a former runner cannot be removed', { name, error })
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // Somebody else's.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** The commands that run here, each within its limits. */
export function createCommands({
  allowedCommands,
  path,
  authorities,
  maxCommands,
  maxSeconds,
  maxRssBytes,
  maxMessageBytes,
  log,
}: CommandsOptions) {
  const running = new Map<Command, { startedAt: number }>()
  let starting = 0
  removeLeftOvers(log)
  const root = mkdtempSync(join(tmpdir(), `${FOLDERS}${process.pid}-`))
  const home = join(root, 'home')

  const watch = async () => {
    if (running.size === 0) return
    const groups = Map.groupBy(await listProcesses(), ({ group }) => group)
    for (const [command, { startedAt }] of running) {
      const members = groups.get(command.pid ?? 0) ?? []
      const rssBytes = members.reduce((sum, member) => sum + member.rssBytes, 0)
      if (rssBytes > maxRssBytes) void command.end('it needs more memory than it may', { atOnce: true })
      else if (members.length > MAX_PROCESSES) void command.end('it has started too many processes', { atOnce: true })
      else if (performance.now() - startedAt > maxSeconds * 1000) void command.end('its time is up')
    }
  }
  let watching = false
  const timer = setInterval(() => {
    if (watching) return
    watching = true
    watch()
      .catch((error) => log.warn('commands could not be looked after', { error }))
      .finally(() => {
        watching = false
      })
  }, WATCH_MS)

  const isFull = () => running.size + starting >= maxCommands

  const makeFolder = async () => {
    starting++
    try {
      await mkdir(home, { recursive: true })
      return await mkdtemp(join(root, 'run-'))
    } finally {
      starting--
    }
  }

  return {
    isFull,
    count: () => running.size,

    /** @throws Error in words for the caller, when it may not be started */
    async start(config: StdioConfig, { onMessage, onEnd }: Pick<CommandOptions, 'onMessage' | 'onEnd'>) {
      const [fault] = stdioFaults(config, allowedCommands)
      if (fault !== undefined) throw new Error(fault.message)
      if (isFull()) throw new Error('too many commands run at once')
      const folder = await makeFolder()
      const command = startCommand({
        ...config,
        folder,
        home,
        path,
        authorities,
        output: {
          lineBytes: maxMessageBytes,
          junkBytes: JUNK_BYTES,
          messageBytes: maxMessageBytes * MESSAGES_OF_A_LIFE,
          messagesPerTenSeconds: MESSAGES_PER_TEN_SECONDS,
        },
        onMessage,
        onEnd(reason, how) {
          running.delete(command)
          log.info('an MCP command ended', { command: config.command, reason })
          rm(folder, { recursive: true, force: true }).catch((error) => log.warn('a folder is left over', { folder, error }))
          onEnd(reason, how)
        },
      })
      running.set(command, { startedAt: performance.now() })
      return command
    },

    /** Ends all, and settles when nothing of them is left. */
    async close() {
      clearInterval(timer)
      await Promise.all([...running.keys()].map((command) => command.end('the runner stops')))
      await rm(root, { recursive: true, force: true })
    },
  }
}
