import type { Kept } from './keep-running'

export type Family = ReturnType<typeof createFamily>

const SERVICE_GRACE_MS = 10_000

/**
 * All processes of one server, to be ended together: first those that serve, then the embedded services that they use. What is added while it
 * ends is not launched any more, so nothing outlives the supervisor.
 */
export const createFamily = () => {
  const members: Record<'services' | 'children', Kept[]> = { services: [], children: [] }
  let closed = false

  return {
    children: members.children as readonly Kept[],

    /** Undefined when the family is ending. */
    add(kind: keyof typeof members, keep: () => Kept): Kept | undefined {
      if (closed) return undefined
      const kept = keep()
      members[kind].push(kept)
      return kept
    },

    /** Ends all in order; what has not ended after its grace is killed. */
    async stop(graceMs: number) {
      closed = true
      await stopWithin(members.children, graceMs)
      await stopWithin(members.services, SERVICE_GRACE_MS)
    },

    killAll() {
      closed = true
      for (const one of [...members.children, ...members.services]) void one.stop('SIGKILL')
    },
  }
}

async function stopWithin(kept: Kept[], graceMs: number) {
  const ended = Promise.all(kept.map((one) => one.stop('SIGTERM')))
  const late = setTimeout(() => kept.map((one) => one.stop('SIGKILL')), graceMs)
  await ended
  clearTimeout(late)
}
