import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { StdioConfig } from '~/runtime/mcp/stdio-rules'
import { createLineReader, OutputExceeded, type OutputLimits } from './lines'
import { findMarked } from './process-table'

export interface CommandOptions extends StdioConfig {
  /** Its folder and its home: both are gone with the runner. */
  folder: string
  home: string
  path: string
  /** A file of certificates that it may trust besides the usual ones, as whoever fetches packages through a proxy must. */
  authorities: string | undefined
  output: OutputLimits
  /** A message of the command. Nothing more is read from it until this settles. */
  onMessage(text: string): Promise<void> | void
  /** Why it is over, in words. Called once, when nothing of it is left. */
  onEnd(reason: string, how: { byItself: boolean }): void
}

/** A running command with all that it started. */
export interface Command {
  /** Of its process group; undefined if it could not be started. */
  pid: number | undefined
  write(message: string): void
  /** Settles when nothing of it is left. It is asked first, unless it has to end at once. */
  end(reason: string, how?: { atOnce: boolean }): Promise<void>
}

/** By this variable those are found who left the group. */
const MARK = 'EVO_MCP_COMMAND'
const MAX_ERROR_BYTES = 4 * 1024 * 1024
const GRACE_MS = 300

/**
 * Starts a command in a process group of its own, with an environment that holds no secret of ours, and reads it no faster than its messages are
 * taken. It ends, with its children, when told so, when it writes what it may not, or when we die.
 */
export function startCommand({ command, args, env, folder, home, path, authorities, output, onMessage, onEnd }: CommandOptions): Command {
  const mark = crypto.randomUUID()
  const [executable, ...words] = withoutNode(command, args, path)
  const child = spawn(executable, words, {
    cwd: folder,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      PATH: path,
      HOME: home,
      TMPDIR: folder,
      LANG: 'C.UTF-8',
      NO_UPDATE_NOTIFIER: '1',
      NODE_EXTRA_CA_CERTS: authorities,
      ...env,
      [MARK]: mark,
    },
  })
  const { pid } = child
  const watch = pid === undefined ? undefined : watchOver(pid, mark)
  const signalAll = (name: 'SIGTERM' | 'SIGKILL') => {
    if (pid !== undefined) signal(-pid, name)
  }
  let ending: Promise<void> | undefined
  let exited = false

  const end = (reason: string, { atOnce = false } = {}) => {
    ending ??= finish(reason, { atOnce, byItself: exited })
    return ending
  }
  const finish = async (reason: string, { atOnce, byItself }: { atOnce: boolean; byItself: boolean }) => {
    child.stdin.destroy()
    if (!atOnce && !exited) {
      signalAll('SIGTERM')
      await Promise.race([new Promise((resolve) => child.once('exit', resolve)), Bun.sleep(GRACE_MS)])
    }
    signalAll('SIGKILL')
    child.stdout.destroy()
    child.stderr.destroy()
    for (const stray of await findMarked(MARK, mark)) signal(stray, 'SIGKILL')
    watch?.release()
    onEnd(reason, { byItself })
  }

  child.once('exit', (code, name) => {
    exited = true
    void end(name === null ? `it exited with code ${code}` : `it was ended by ${name}`)
  })
  child.once('error', (error) => void end(`it could not be started (${'code' in error ? error.code : error.name})`, { atOnce: true }))
  child.stdin.on('error', () => child.stdin.destroy()) // it has closed its input; its exit is heard of by itself
  void readMessages(child, output, onMessage).catch((error) => end(reasonOf(error), { atOnce: true }))
  void drop(child).catch((error) => end(reasonOf(error), { atOnce: true }))

  return {
    pid,
    end,
    write(message) {
      if (!child.stdin.destroyed) child.stdin.write(`${message}\n`)
      if (child.stdin.writableLength > output.messageBytes) void end('it does not read what it is sent', { atOnce: true })
    },
  }
}

/** Where Node.js is not installed, Bun fetches and runs the same packages. */
const withoutNode = (command: string, args: string[], path: string): [string, ...string[]] =>
  command === 'npx' && Bun.which('npx', { PATH: path }) === null
    ? [process.execPath, 'x', '--bun', ...args.slice(args.findIndex((arg) => !arg.startsWith('-')))]
    : [command, ...args]

const reasonOf = (error: unknown) => (error instanceof OutputExceeded ? error.message : 'its output cannot be read')

/** One piece after the other, with a turn of the event loop in between: a flood keeps nobody else from being heard. */
async function readMessages(child: ChildProcessWithoutNullStreams, limits: OutputLimits, onMessage: CommandOptions['onMessage']) {
  const read = createLineReader(limits)
  for await (const chunk of child.stdout) {
    for (const message of read(chunk as Buffer)) await onMessage(message)
    await nextTurn()
  }
}

/** What goes to stderr is for nobody: it may hold the agent's secrets. */
async function drop(child: ChildProcessWithoutNullStreams) {
  let bytes = 0
  for await (const chunk of child.stderr) {
    bytes += (chunk as Buffer).byteLength
    if (bytes > MAX_ERROR_BYTES) throw new OutputExceeded('it writes too much to its error output')
    await nextTurn()
  }
}

/** Ends the group, and whoever has left it but still carries the mark. */
const END_ALL = `while read -r _; do :; done
kill -9 "-$1"
for pid in $(grep -ls "${MARK}=$2" /proc/[0-9]*/environ | cut -d/ -f3); do kill -9 "$pid"; done`

/**
 * A shell that sees our end of a pipe close, whatever we died of, and then ends what we have started. It is in a group of its own, so that what ends
 * ours leaves it.
 */
function watchOver(pid: number, mark: string) {
  const watcher = spawn('/bin/sh', ['-c', END_ALL, 'watch', String(pid), mark], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { PATH: '/usr/bin:/bin' },
  })
  watcher.once('error', () => undefined) // no shell here: then the command ends when its input does
  watcher.stdin?.on('error', () => undefined)
  return { release: () => watcher.kill('SIGKILL') }
}

function signal(pid: number, name: 'SIGTERM' | 'SIGKILL') {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error // gone already
  }
}
