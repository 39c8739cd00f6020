import { expect, test } from 'bun:test'
import { Elysia } from 'elysia'
import { DomainError } from '~/platform/errors'
import { eventStream } from './event-stream'
import type { LogEvent } from './log-event'

const started: LogEvent = { seq: 1, type: 'run-started', data: { run_id: 'a' } }
const SHOWN = 'id: 1\nevent: run-started\ndata: {"run_id":"a"}\n\n'

async function streamed(entries: () => AsyncGenerator<LogEvent | undefined>) {
  const app = new Elysia()
    .onError(({ error }) => new Response(error instanceof DomainError ? error.problem : 'unknown', { status: 503 }))
    .get('/', async function* () {
      yield* eventStream(entries())
    })
  const response = await app.handle(new Request('http://localhost/'))
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() }
}

test('a heartbeat is a comment, which no client takes for an event, wherever it comes', async () => {
  const { type, text } = await streamed(async function* () {
    yield undefined
    yield started
    yield undefined
  })
  expect(type).toBe('text/event-stream')
  expect(text).toBe(`: ping\n\n${SHOWN}: ping\n\n`)
})

test('a stream that we cut off says why and when to come back, without an id', async () => {
  const { status, text } = await streamed(async function* () {
    yield started
    throw new DomainError('overloaded', 'stopping')
  })
  expect(status).toBe(200)
  expect(text).toBe(`${SHOWN}event: error\nretry: 1000\ndata: {"problem":"overloaded","detail":"stopping"}\n\n`)
})

test('what fails before the first event keeps its status', async () => {
  const entries = async function* (isAway = true) {
    if (isAway) throw new DomainError('dependency-unavailable', 'away')
    yield started
  }
  expect(await streamed(entries)).toMatchObject({ status: 503, text: 'dependency-unavailable' })
})
