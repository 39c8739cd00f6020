import { createLog } from '~/platform/log'
import { createHttp } from '~/processes/api'
import type { RawReply } from '../../support/raw-http'
import type { Reply, TestApp } from '../../support/start-app'

/** One row of the threat table: what is sent and what must come back. */
export interface Row {
  id: string
  guarantee: string
  check(app: TestApp): Promise<void>
  timeoutMs?: number
}

/** `status problem-name`, after a look at whether the problem document is complete; `status empty` or `status body` for what is none. */
export function outcomeOf({ status, headers, body }: Reply | RawReply): string {
  if (body === '' || body === undefined) return `${status} empty`
  if (headers.get('content-type') !== 'application/problem+json') return `${status} body`
  const problem: Record<string, unknown> = typeof body === 'string' ? JSON.parse(body) : body
  const texts = ['type', 'title', 'detail', 'message', 'instance', 'trace_id'].filter(
    (name) => typeof problem[name] !== 'string' || problem[name] === '',
  )
  if (texts.length > 0) throw new Error(`an incomplete problem document, without ${texts.join(', ')}: ${JSON.stringify(problem)}`)
  if (problem.status !== status || problem.message !== problem.detail)
    throw new Error(`a contradictory problem document: ${JSON.stringify(problem)}`)
  if (status === 422 && !isListOfFaults(problem.errors))
    throw new Error(`a 422 without what is wrong and where: ${JSON.stringify(problem)}`)
  if (problem.trace_id !== headers.get('x-request-id')) throw new Error(`the trace id is not the request id: ${JSON.stringify(problem)}`)
  return `${status} ${String(problem.type).split('/problems/')[1]}`
}

const isListOfFaults = (errors: unknown) =>
  Array.isArray(errors) &&
  errors.length > 0 &&
  errors.every((fault) => ['pointer', 'code', 'message'].every((name) => typeof fault[name] === 'string'))

/** Runs each labelled attempt, one after the other, so that a failure shows all inputs with what became of them. */
export async function outcomes<T>(inputs: Record<string, T>, attempt: (input: T) => Promise<string>): Promise<Record<string, string>> {
  const results: Record<string, string> = {}
  for (const [label, input] of Object.entries(inputs)) results[label] = await attempt(input)
  return results
}

export const all = (inputs: Record<string, unknown>, outcome: string) =>
  Object.fromEntries(Object.keys(inputs).map((label) => [label, outcome]))

/** A second HTTP surface over the same services, with other settings or with services that misbehave. */
export async function withSurface(
  app: TestApp,
  { config = {}, services = {} }: { config?: Partial<TestApp['config']>; services?: Partial<TestApp['services']> },
  use: (surface: { url: string; logged: () => string }) => Promise<void>,
) {
  const lines: string[] = []
  const log = createLog({ level: 'debug', write: (line) => lines.push(line) })
  const surface = createHttp({ ...app.config, ...config }, { ...app.services, ...services }, log)
  surface.listen({ port: 0, hostname: '127.0.0.1' })
  try {
    await use({ url: `http://127.0.0.1:${surface.server?.port}`, logged: () => lines.join('\n') })
  } finally {
    await surface.server?.stop(true)
  }
}
