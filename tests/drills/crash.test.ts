import { expect, test } from 'bun:test'
import { services } from '../support/services'
import { crashDrill } from './crash-drill'
import { signedIn } from './signed-in'

test('processes die while runs book with a tool that must not be called twice: no effect is doubled or lost, no client misses an event', async () => {
  const { databaseUrl, redisUrl } = services
  const report = await crashDrill({
    databaseUrl,
    redisUrl,
    runs: 16,
    clients: 8,
    killEveryMs: 1500,
    apis: 2,
    workers: 1,
    signIn: signedIn(databaseUrl),
  })
  expect(report).toMatchObject({ runs: 16, doubled: 0, lost: 0, badStreams: 0, failures: [] })
  expect(Object.keys(report.outcomes).filter((status) => !['succeeded', 'needs_reconcile'].includes(status))).toEqual([])
}, 120_000)
