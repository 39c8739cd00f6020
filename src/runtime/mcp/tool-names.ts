import { createHash } from 'node:crypto'

export interface NamedTools {
  /** Tells servers apart, in names and for good: `github`. */
  server: string
  tools: Iterable<string>
}

const MAX_LENGTH = 64

/**
 * What the model calls each tool: the tool's own name where nobody else has it, else with its server's name in front, so that two servers' tools
 * stay apart and none takes the place of one in `taken`. The same input gives the same names. One map from tool to name for each server.
 */
export function nameTools(servers: NamedTools[], taken: Iterable<string> = []): Map<string, string>[] {
  const wanted = servers.map(({ tools }) => [...tools].map((tool) => ({ tool, name: sanitize(tool) })))
  const owners = new Map<string, number>([...taken].map((name) => [name, 2]))
  for (const { name } of wanted.flat()) owners.set(name, (owners.get(name) ?? 0) + 1)
  const given = new Set(owners.keys())
  return wanted.map((tools, index) => {
    const server = sanitize(servers[index]?.server ?? '')
    return new Map(
      tools.map(({ tool, name }) => {
        if (owners.get(name) === 1) return [tool, name]
        const full = `${server}__${name}`
        const unique = full.length <= MAX_LENGTH && !given.has(full) ? full : shortened(full, `${servers[index]?.server}\n${tool}`)
        given.add(unique)
        return [tool, unique]
      }),
    )
  })
}

const sanitize = (name: string) => name.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, MAX_LENGTH) || 'tool'

/** Ends in a hash of what it stands for. */
const shortened = (name: string, of: string) =>
  `${name.slice(0, MAX_LENGTH - 9)}_${createHash('sha256').update(of).digest('hex').slice(0, 8)}`
