import type { Reach } from '~/platform/access'
import type { Db } from '~/platform/db'
import { inField } from '~/platform/errors'
import type { Outbound } from '~/platform/outbound'
import { fetchAgentCard } from './agent-card'
import { checkCardUrl, type Draft } from './check-agent'
import { maskSecrets } from './config-secrets'
import { merge } from './merge-change'
import { findAgent } from './queries'
import type { AgentChange } from './schema'

export type Drafts = ReturnType<typeof createDrafts>

/** A remote agent is described by its card. Asked before any transaction, which must not wait for others. */
export function createDrafts({ db, outbound }: { db: Db; outbound: Outbound }) {
  /** @throws DomainError `validation-failed`, `url-not-allowed`, `not-possible` */
  const withCard = async (draft: Draft): Promise<Draft> => {
    const asked = fetchAgentCard(outbound, checkCardUrl(draft.agent_card_url))
    const { name, description, card } = await asked.catch((error: unknown) => {
      throw inField('/agent_card_url', error)
    })
    return { ...draft, name: draft.name || name, description, config: { ...draft.config, agent_card: card } }
  }

  return {
    /** A remote agent that comes without its card is asked for it. @throws as above */
    complete: async (draft: Draft): Promise<Draft> => (draft.type === 'a2a' && draft.config.agent_card == null ? withCard(draft) : draft),

    /** A change that names another remote agent takes over what that one's card says. @throws as above */
    async describeAnew(reach: Reach, id: string, change: AgentChange): Promise<AgentChange> {
      if (!change.agent_card_url) return change
      const before = await findAgent(db, reach, id)
      if (before === undefined || (change.type ?? before.type) !== 'a2a' || change.agent_card_url === before.agent_card_url) return change
      const { name, description, config } = await withCard(merge(before, change, change.config ?? maskSecrets(before.config)))
      return { ...change, name: name ?? null, description: description ?? null, config }
    },
  }
}
