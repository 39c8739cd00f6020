import { type Launched, launchChild, newInstance } from '~/processes/launched'
import { findFreePort } from '~/processes/ports'

/** A process that ends so often in a row without having served does not start, and would not the next time. */
const MAX_FAILED_STARTS = 10

/** Processes of one server that are killed again and again, and each time replaced at once, as by an orchestrator without patience. */
export async function startProcesses({ apis, workers, env }: { apis: number; workers: number; env: Record<string, string> }) {
  const port = await findFreePort()
  const { PATH = '', HOME = '' } = process.env
  const whole = {
    PATH,
    HOME,
    PORT: String(port),
    HOST: '127.0.0.1',
    NODE_ENV: 'test',
    JWT_SECRET_KEY: 'Zk3v9q0Yx7Lr2Wn8Tb5Hc1Md6Pf4Gs0Ja',
    ENCRYPTION_KEY: 'Qw8Er2Ty6Ui0Op4As9Df3Gh7Jk1Lz5Xc0V',
    EMAIL_PROVIDER: 'mailbox',
    LOG_LEVEL: 'silent',
    SHUTDOWN_GRACE_SECONDS: '5',
    ...env,
  }
  const slots = [
    ...Array.from({ length: apis }, (_, index) => `api-${index + 1}`),
    ...Array.from({ length: workers }, (_, index) => `worker-${index + 1}`),
  ]
  /** Those that serve: what is only starting has nothing in hand. */
  const serving = new Map<string, Launched>()
  const living = new Map<string, Launched>()
  const broken = Promise.withResolvers<never>()
  // Whoever awaits it hears the failure; nobody has to.
  broken.promise.catch(() => undefined)
  let stopped = false

  const keep = (name: string, failures = 0) => {
    const child = launchChild({ kind: name.startsWith('api') ? 'api' : 'worker', instance: newInstance(name), env: whole })
    living.set(name, child)
    child.start()
    let served = false
    void child.ready.then(() => {
      served = true
      serving.set(name, child)
    })
    void child.exited.then((how) => {
      serving.delete(name)
      if (stopped) return
      if (!served && failures + 1 >= MAX_FAILED_STARTS) return broken.reject(new Error(`${name} does not start: ${how}`))
      keep(name, served ? 0 : failures + 1)
    })
    return child
  }
  const first = slots.map((name) => keep(name))
  const isUp = await Promise.race([Promise.all(first.map(({ ready }) => ready)).then(() => true), ...first.map(({ exited }) => exited)])
  if (isUp !== true) throw new Error(`a process did not start: ${isUp}`)

  return {
    url: `http://127.0.0.1:${port}`,
    /** Rejects when one of them does not start any more. */
    broken: broken.promise,
    /** SIGKILL to one that serves, whichever it is and whatever it is doing. False when none does just now. */
    killOne(): boolean {
      const all = [...serving.entries()]
      const [name, child] = all[Math.floor(Math.random() * all.length)] ?? []
      if (name === undefined) return false
      serving.delete(name)
      child?.kill('SIGKILL')
      return true
    },
    async stop() {
      stopped = true
      for (const child of living.values()) child.kill('SIGKILL')
      await Promise.all([...living.values()].map(({ exited }) => exited))
    },
  }
}
