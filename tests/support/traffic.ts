export interface Outcome {
  /** What the caller was doing. */
  what: string
  /** 0: there was no answer. */
  status: number
  /** From the first byte sent to the last one read. */
  ms: number
  /** When it began, by `performance.now()`. */
  at: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every shape
  body: any
}

export const succeeded = ({ status }: Outcome) => status === 200 || status === 201
/** What an assertion that fails should show. */
export const seen = ({ what, status, body }: Outcome) => ({ what, status, body })

const PATIENCE_MS = 20_000

/** One request on a connection of its own, so that any of the processes behind the port may get it. Never rejects. */
export async function call(what: string, url: string, { json, ...init }: RequestInit & { json?: unknown } = {}): Promise<Outcome> {
  const at = performance.now()
  const sent = json === undefined ? init : { method: 'POST', ...init, body: JSON.stringify(json), headers: withJson(init.headers) }
  try {
    const response = await fetch(url, { ...sent, keepalive: false, signal: AbortSignal.timeout(PATIENCE_MS) })
    const text = await response.text()
    return { what, status: response.status, ms: performance.now() - at, at, headers: response.headers, body: parsed(text, response) }
  } catch (error) {
    return { what, status: 0, ms: performance.now() - at, at, headers: new Headers(), body: String(error) }
  }
}

const withJson = (headers: RequestInit['headers']) => {
  const all = new Headers(headers as Record<string, string> | undefined)
  all.set('content-type', 'application/json')
  return all
}

const parsed = (text: string, { headers }: Response) =>
  headers.get('content-type')?.includes('json') && text !== '' ? JSON.parse(text) : text

/** Enough calls at once, each on its own connection, that every process behind the port gets some. */
export const eightTimes = <T>(ask: () => Promise<T>) => Promise.all(Array.from({ length: 8 }, ask))

/** Callers who repeat themselves until they are told to stop. */
export class Traffic {
  readonly outcomes: Outcome[] = []
  private readonly loops: Promise<void>[] = []
  private stopped = false

  /** So many callers, each making its next call `pauseMs` after the last one's end. */
  add({ callers = 1, pauseMs }: { callers?: number; pauseMs: number }, next: () => Promise<Outcome>): this {
    for (let i = 0; i < callers; i++) this.loops.push(this.repeat(next, pauseMs))
    return this
  }

  /** Settles when the last calls have. */
  async stop(): Promise<Outcome[]> {
    this.stopped = true
    await Promise.all(this.loops)
    return this.outcomes
  }

  private async repeat(next: () => Promise<Outcome>, pauseMs: number) {
    while (!this.stopped) {
      this.outcomes.push(await next())
      await Bun.sleep(pauseMs)
    }
  }
}

/** `GET agent 200: 41, oldest 12 ms` and so on, for the log of the test run. */
export function describeOutcomes(outcomes: Outcome[]): string {
  const groups = Map.groupBy(outcomes, ({ what, status }) => `${what} ${status}`)
  return [...groups]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([name, all]) => `${name}: ${all.length}, oldest ${Math.round(Math.max(...all.map(({ ms }) => ms)))} ms`)
    .join('; ')
}

export const oldestMs = (outcomes: Outcome[]) => Math.max(0, ...outcomes.map(({ ms }) => ms))
