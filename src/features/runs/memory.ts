import type { Db } from '~/platform/db'
import type { Memory } from '~/runtime/llm-tools'
import { searchEvents } from './queries/events'

const MAX_FOUND = 10
const MAX_QUERY = 1000

/** What an agent remembers: the conversations that it had with the same contact, searched as full text. */
export const createMemories =
  ({ db }: { db: Db }) =>
  (agent: { clientId: string; agentId: string }): Memory =>
  (query, { runId, sessionId }) =>
    searchEvents(db, { ...agent, runId, sessionId, query: query.slice(0, MAX_QUERY), limit: MAX_FOUND })
