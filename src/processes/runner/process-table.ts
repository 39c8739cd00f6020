import { readdir, readFile } from 'node:fs/promises'

/** What the machine knows about running processes. Empty where there is no /proc. */
export interface ProcessEntry {
  pid: number
  group: number
  rssBytes: number
}

const PAGE_BYTES = 4096

export async function listProcesses(): Promise<ProcessEntry[]> {
  const entries = await Promise.all(
    (await pids()).map(async (pid) => {
      const text = await read(`/proc/${pid}/stat`)
      // The name in parentheses may hold anything; what follows it has fixed places (proc_pid_stat(5)).
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
      return { pid, group: Number(fields[2]), rssBytes: Number(fields[21]) * PAGE_BYTES }
    }),
  )
  return entries.filter(({ group }) => Number.isInteger(group))
}

/** Processes that were started with this variable in their environment, in whatever group they are now. */
export async function findMarked(variable: string, value: string): Promise<number[]> {
  const mark = `\0${variable}=${value}\0`
  const found = await Promise.all((await pids()).map(async (pid) => `\0${await read(`/proc/${pid}/environ`)}`.includes(mark) && pid))
  return found.filter((pid) => pid !== false)
}

async function pids(): Promise<number[]> {
  const names = await readdir('/proc').catch(() => [] as string[])
  return names.filter((name) => /^\d+$/.test(name)).map(Number)
}

/** A process may end while it is looked at, or be somebody else's. */
const read = (path: string) => readFile(path, 'latin1').catch(() => '')
