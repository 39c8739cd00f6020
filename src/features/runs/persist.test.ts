import { expect, test } from 'bun:test'
import { DomainError } from '~/platform/errors'
import { silentLog } from '~/platform/log'
import { RunTakenOver } from './live-log'
import { createPersist } from './persist'
import type { OwnedRun } from './queries/owned'

const run = { id: 'a run' } as OwnedRun
const open = (signal = new AbortController().signal) => createPersist({ run, log: silentLog, signal })
const away = () => new DomainError('dependency-unavailable', 'away')

test('a write is tried again until the database is back', async () => {
  let tries = 0
  await open()(async () => {
    if (++tries < 4) throw away()
    return true
  })
  expect(tries).toBe(4)
})

test('a run that somebody else has by then is not written to any more', async () => {
  let tries = 0
  const write = async () => {
    if (++tries === 1) throw away()
    return false
  }
  await expect(open()(write)).rejects.toBeInstanceOf(RunTakenOver)
})

test('what is wrong with the write itself, and the end of this process, end the waiting', async () => {
  let tries = 0
  const wrong = async () => {
    tries++
    throw new Error('syntax error')
  }
  await expect(open()(wrong)).rejects.toThrow('syntax error')
  expect(tries).toBe(1)
  const stop = new AbortController()
  setTimeout(() => stop.abort(), 100)
  await expect(open(stop.signal)(() => Promise.reject(away()))).rejects.toThrow('away')
})
