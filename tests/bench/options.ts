export const SCENARIOS = ['read', 'list', 'create', 'login', 'login-flood', 'chat', 'stream', 'sockets', 'email', 'audit', 'start'] as const
export type ScenarioName = (typeof SCENARIOS)[number]

export interface Options {
  scenarios: ScenarioName[]
  /** Rounds that count; one more comes before them, to warm up. */
  rounds: number
  /** Of one side in one round. */
  seconds: number
}

export const USAGE = `bun run bench [--scenario name]... [--rounds n] [--seconds n] [--quick]
  --scenario  ${SCENARIOS.join(', ')}; may be given several times; all by default
  --rounds    rounds that count, after one to warm up (5)
  --seconds   load on one side in one round (5)
  --quick     --rounds 1 --seconds 2: a glance`

/** @throws Error naming the argument that is not understood. */
export function readOptions(args: string[]): Options {
  const quick = args.includes('--quick')
  const options: Options = { scenarios: [], rounds: quick ? 1 : 5, seconds: quick ? 2 : 5 }
  for (let at = 0; at < args.length; at++) {
    const [name = '', inline] = (args[at] ?? '').split('=', 2)
    if (name === '--quick') continue
    const value = inline ?? args[++at] ?? ''
    if (name === '--scenario') options.scenarios.push(...value.split(',').map(scenarioOf))
    else if (name === '--rounds') options.rounds = count(name, value)
    else if (name === '--seconds') options.seconds = count(name, value)
    else throw new Error(`${name} is not an option`)
  }
  if (options.scenarios.length === 0) options.scenarios = [...SCENARIOS]
  return options
}

function scenarioOf(value: string): ScenarioName {
  const found = SCENARIOS.find((name) => name === value)
  if (found === undefined) throw new Error(`there is no scenario "${value}"`)
  return found
}

function count(name: string, value: string): number {
  if (!/^[1-9]\d{0,3}$/.test(value)) throw new Error(`${name} must be a whole number from 1`)
  return Number(value)
}
