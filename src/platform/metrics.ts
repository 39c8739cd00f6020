import { AggregatorRegistry, Gauge, Registry } from 'prom-client'
import type { Clock } from './clock'
import type { Log } from './log'
import type { RedisStore } from './redis'
import { type AnsweredRequest, createRequestFigures } from './request-figures'

export interface Metrics {
  request(answered: AnsweredRequest): void
  /** In the text format of Prometheus: of all processes whose figures Redis has, else of this one alone. */
  text(): Promise<string>
  contentType: string
  /** Leaves this process's figures in Redis every few seconds, until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>
}

export interface QueueFigures {
  name: string
  unfinished: number
  oldest_seconds: number | null
  dead: number
  stream: { length: number; pending: number; lag: number } | null
}

interface MetricsSettings {
  redis: RedisStore
  log: Log
  clock: Clock
  /** Which one this is. */
  process: string
  queues: () => Promise<QueueFigures[]>
}

const PUBLISH_EVERY_MS = 5000
const KEEP_SECONDS = 20

/** The processes share a port, so whoever asks meets any of them: they lay their figures together in Redis. */
export function createMetrics({ redis, log, clock, process: name, queues }: MetricsSettings): Metrics {
  const registers = [new Registry()]
  const [own] = registers as [Registry]
  own.setDefaultLabels({ process: name })
  const requests = createRequestFigures(name)
  const memory = new Gauge({ name: 'evo_process_resident_bytes', help: 'Resident memory.', registers })
  const evicts = new Gauge({ name: 'evo_redis_evicts', help: '1 where Redis drops keys when it is full.', registers })
  const key = (of: string) => redis.key('metrics', of)

  const figures = async (): Promise<object[]> => {
    memory.set(process.memoryUsage.rss())
    evicts.set(redis.evicts ? 1 : 0)
    return [...requests.figures(), ...(await own.getMetricsAsJSON())]
  }

  const publish = async () => {
    const json = JSON.stringify(await figures())
    await redis.run((client) => client.set(key(name), json, 'EX', KEEP_SECONDS))
    await redis.run((client) => client.zadd(key('processes'), clock.now(), name))
    await redis.run((client) => client.zremrangebyscore(key('processes'), 0, clock.now() - KEEP_SECONDS * 1000))
  }

  /** What the other processes have left; nothing while Redis is away. */
  async function others(): Promise<object[]> {
    try {
      const names = await redis.run((client) => client.zrangebyscore(key('processes'), clock.now() - KEEP_SECONDS * 1000, '+inf'))
      const found = await Promise.all(names.filter((other) => other !== name).map((other) => redis.run((client) => client.get(key(other)))))
      return found.flatMap((json) => (json === null ? [] : [JSON.parse(json)]))
    } catch (error) {
      log.debug('figures of other processes are not at hand', { error })
      return []
    }
  }

  return {
    contentType: Registry.PROMETHEUS_CONTENT_TYPE,
    request: requests.count,
    async text() {
      const shared = AggregatorRegistry.aggregate([...(await others()), await figures()])
      const ofQueues = new Registry()
      fillQueues(ofQueues, await queues())
      return `${await shared.metrics()}\n${await ofQueues.metrics()}`
    },
    async run(signal) {
      while (!signal.aborted) {
        await publish().catch((error) => log.debug('figures were not laid into redis', { error }))
        await clock.sleep(PUBLISH_EVERY_MS, signal).catch(() => undefined) // aborted: the loop ends
      }
    },
  }
}

/** Of the stores, hence without a process. */
function fillQueues(registry: Registry, figures: QueueFigures[]) {
  const gauge = (name: string, help: string) => new Gauge({ name: `evo_queue_${name}`, help, labelNames: ['queue'], registers: [registry] })
  const unfinished = gauge('unfinished', 'Rows that are not done.')
  const oldest = gauge('oldest_seconds', 'Age of the oldest row that is not done.')
  const dead = gauge('dead', 'Entries that were set aside.')
  const length = gauge('stream_entries', 'Entries of the stream that are not acknowledged.')
  const pending = gauge('stream_pending', 'Entries that a worker has in hand.')
  const lag = gauge('stream_lag', 'Entries that no worker has read.')
  for (const { name: queue, stream, ...figure } of figures) {
    unfinished.set({ queue }, figure.unfinished)
    oldest.set({ queue }, figure.oldest_seconds ?? 0)
    dead.set({ queue }, figure.dead)
    if (stream === null) continue
    length.set({ queue }, stream.length)
    pending.set({ queue }, stream.pending)
    lag.set({ queue }, stream.lag)
  }
}
