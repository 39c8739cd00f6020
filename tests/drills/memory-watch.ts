import { streamLength } from '~/platform/outbox/streams'
import type { RedisStore } from '~/platform/redis'
import { residentMb } from '../bench/child'

export interface Memory {
  idleMb: number
  mostMb: number
}

/** Looks four times a second at what the worker and Redis take, and at how much waits in the stream of the mails that can wait. */
export function watchMemory(workerPid: () => number | undefined, redis: RedisStore) {
  const worker = { idleMb: 0, mostMb: 0 }
  const ofRedis = { idleMb: 0, mostMb: 0 }
  let mostInStream = 0
  let isStopped = false
  const look = async () => {
    const info = await redis.run((client) => client.info('memory'))
    const redisMb = Number(/^used_memory:(\d+)/m.exec(info)?.[1]) / 1_048_576
    mostInStream = Math.max(mostInStream, await streamLength(redis, 'email-bulk'))
    return { workerMb: residentMb(workerPid()) ?? 0, redisMb }
  }
  const watching = (async () => {
    while (!isStopped) {
      const { workerMb, redisMb } = await look()
      worker.mostMb = Math.max(worker.mostMb, workerMb)
      ofRedis.mostMb = Math.max(ofRedis.mostMb, redisMb)
      await Bun.sleep(250)
    }
  })()
  return {
    async idle() {
      const { workerMb, redisMb } = await look()
      Object.assign(worker, { idleMb: workerMb })
      Object.assign(ofRedis, { idleMb: redisMb })
    },
    async stop() {
      isStopped = true
      await watching
      return { worker, redis: ofRedis, mostInStream }
    },
  }
}
