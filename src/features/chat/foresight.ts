import type { AgentService } from '~/features/agents/service'
import type { RunService } from '~/features/runs/service'
import type { Ahead } from '~/features/runs/turn'
import { remember } from '~/platform/remember'

/** After it a caller has to be let in again before anything is read for them. */
const TRUSTED_MS = 60_000
const MAX_CALLERS = 10_000

interface Asked<T> {
  request: Request
  agentId: string
  externalId: string
  /** Throws for who may not come in. */
  admit: () => Promise<T>
}

export type Foresight = ReturnType<typeof createForesight>

/**
 * Reads what a turn begins with while it is still being asked whether its caller may come in. Only for a caller who was let in of late and not turned away
 * since, so that neither strangers nor a flood make us read; and nothing of it is shown to anybody before the caller was let in and found to have the right.
 */
export function createForesight({ agents, runs }: { agents: Pick<AgentService, 'knownOwner'>; runs: Pick<RunService, 'lookAhead'> }) {
  /** When each was let in, by a hash of their credentials: who shares one by chance costs a read. */
  const callers = new Map<number | bigint, number>()

  const look = async (agentId: string, externalId: string): Promise<Ahead | undefined> => {
    const clientId = agents.knownOwner(agentId)
    return clientId === undefined ? undefined : runs.lookAhead({ clientId, agentId, externalId })
  }

  return {
    /** @throws what `admit` throws */
    async beside<T>({
      request,
      agentId,
      externalId,
      admit,
    }: Asked<T>): Promise<{ caller: T; ahead: Promise<Ahead | undefined> | undefined }> {
      const key = callerKey(request)
      const isTrusted = performance.now() - (callers.get(key) ?? Number.NEGATIVE_INFINITY) < TRUSTED_MS
      const ahead = isTrusted ? look(agentId, externalId) : undefined
      // Its failure is told to whoever waits for it, if anybody does.
      ahead?.catch(() => undefined)
      callers.delete(key)
      const caller = await admit()
      remember(callers, key, performance.now(), MAX_CALLERS)
      return { caller, ahead }
    },
  }
}

const callerKey = ({ headers }: Request) => Bun.hash(`${headers.get('authorization')} ${headers.get('x-api-key')}`)
