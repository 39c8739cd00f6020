import { expect, test } from 'bun:test'
import type { Ahead } from '~/features/runs/turn'
import { DomainError } from '~/platform/errors'
import { createForesight } from './foresight'

const AHEAD: Ahead = {
  at: new Date(0),
  isFree: true,
  isIdle: true,
  active: 0,
  history: [],
  newest: null,
  ownSeconds: null,
  agent: Promise.resolve(async function* () {}),
}

function setUp({ isKnown = true, found = async () => AHEAD } = {}) {
  const looked: unknown[] = []
  const foresight = createForesight({
    agents: { knownOwner: () => (isKnown ? 'client' : undefined) },
    runs: {
      lookAhead: (session) => {
        looked.push(session)
        return found()
      },
    },
  })
  const come = (authorization: string | undefined, admit = async () => 'ann') => {
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization }
    return foresight.beside({ request: new Request('http://here', { headers }), agentId: 'agent', externalId: 'talk', admit })
  }
  return { come, looked }
}

const turnedAway = async () => {
  throw new DomainError('rate-limited', 'Too many requests.')
}

test('only for who was let in before is anything read, and while they are asked again', async () => {
  const { come, looked } = setUp()
  expect(await come('Bearer a')).toEqual({ caller: 'ann', ahead: undefined })
  expect(looked).toEqual([])
  const door = Promise.withResolvers<string>()
  const again = come('Bearer a', () => door.promise)
  expect(looked).toEqual([{ clientId: 'client', agentId: 'agent', externalId: 'talk' }])
  door.resolve('ann')
  expect(await (await again).ahead).toBe(AHEAD)
  await come('Bearer b')
  await come(undefined)
  expect(looked).toHaveLength(1)
})

test('who is turned away makes us read once more at most, until they are let in again', async () => {
  const { come, looked } = setUp()
  await come('Bearer a')
  for (let times = 0; times < 5; times++) expect(await come('Bearer a', turnedAway).catch((error) => error.problem)).toBe('rate-limited')
  expect(looked).toHaveLength(1)
  await come('Bearer a')
  await come('Bearer a')
  expect(looked).toHaveLength(2)
})

test('an agent whose client is not known here is read later; a failure is told to who waits for it, and to nobody else', async () => {
  const unknown = setUp({ isKnown: false })
  await unknown.come('Bearer a')
  expect(await (await unknown.come('Bearer a')).ahead).toBeUndefined()
  expect(unknown.looked).toEqual([])
  const away = setUp({ found: () => Promise.reject(new Error('away')) })
  await away.come('Bearer a')
  const { caller, ahead } = await away.come('Bearer a')
  expect(caller).toBe('ann')
  expect(await ahead?.catch((error) => error.message)).toBe('away')
})
