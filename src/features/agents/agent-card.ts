import { DomainError } from '~/platform/errors'
import { parseJson } from '~/platform/http/json-body'
import type { Outbound } from '~/platform/outbound'

const TIMEOUT_MS = 10_000
const MAX_BYTES = 256 * 1024

export interface AgentCard {
  name: string
  description: string | null
  /** As it came. */
  card: Record<string, unknown>
}

/**
 * The card of a remote agent. What is told of a failure is the same for every host that may be called, so that nobody's network is explored by it.
 * @throws DomainError `url-not-allowed`, `not-possible`
 */
export async function fetchAgentCard(outbound: Outbound, url: string): Promise<AgentCard> {
  const card = await readCard(outbound, url)
  const { name, description } = card
  if (typeof name !== 'string' || name === '') throw failed('it has no name')
  return {
    name: name.replace(/[^A-Za-z0-9]/g, '_').slice(0, 200),
    description: typeof description === 'string' ? description.slice(0, 4000) : null,
    card,
  }
}

async function readCard(outbound: Outbound, url: string): Promise<Record<string, unknown>> {
  const request = { url, headers: { accept: 'application/json' }, timeoutMs: TIMEOUT_MS, maxBytes: MAX_BYTES }
  const response = await outbound.request(request).catch((error: unknown) => {
    if (error instanceof DomainError && error.problem.startsWith('upstream-')) throw failed('it cannot be fetched', error)
    throw error
  })
  if (response.status !== 200) throw failed('it cannot be fetched')
  const card = parseCard(response.body)
  if (card === null || typeof card !== 'object' || Array.isArray(card)) throw failed('it is not a JSON object')
  return card as Record<string, unknown>
}

/** With the rules of a request's body: it is stored like one. */
function parseCard(body: Uint8Array): unknown {
  try {
    return parseJson(body)
  } catch (error) {
    throw failed('it is not acceptable JSON', error)
  }
}

const failed = (reason: string, cause?: unknown) => new DomainError('not-possible', `Failed to process agent card: ${reason}`, { cause })
