import { expect, test } from 'bun:test'
import { systemClock } from '~/platform/clock'
import { DomainError } from '~/platform/errors'
import { silentLog } from '~/platform/log'
import { createMemoryRun, scriptedModel, shortly } from '~/runtime/testing'
import { createAgentLoader, type RunnableDeps } from './runnable'

/** The database is away for so many times before it answers. */
const flaky = <A extends unknown[], T>(failures: number, work: (...args: A) => T) => {
  let left = failures
  return async (...args: A): Promise<T> => {
    if (left-- > 0) throw new DomainError('dependency-unavailable', 'Away.')
    return work(...args)
  }
}

test('an agent whose parts or key cannot be looked up for a moment waits for the database', async () => {
  const model = scriptedModel(() => 'hello')
  const whole = { id: 'whole', type: 'sequential', name: 'whole', config: { sub_agents: ['part'] } }
  const part = { id: 'part', type: 'llm', name: 'part', model: 'demo/echo', api_key_id: 'key', config: {} }
  const findPart = flaky(2, () => part)
  // Of all its deps an agent of these kinds needs no others.
  const deps = {
    agents: { load: (_: unknown, id: string) => (id === 'whole' ? whole : findPart()) },
    providerKeys: { reveal: flaky(2, () => 'sk-1') },
    models: model,
    createMcpSources: () => [],
    maxDepth: 5,
    clock: systemClock,
    log: silentLog,
  } as unknown as RunnableDeps
  const run = createMemoryRun('hi')
  await run.execute(await createAgentLoader(deps)('client', 'whole'))
  expect(run.events.map(shortly)).toEqual(['part: hello'])
  expect(model.requests.map(({ apiKey }) => apiKey)).toEqual(['sk-1'])
})
