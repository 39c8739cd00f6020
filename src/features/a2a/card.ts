import { MESSAGES_ONCE } from '~/runtime/a2a/remote'

/** What a card tells of an agent: nothing of how it works. */
export interface AgentFacts {
  id: string
  name: string
  description: string | null
  type: string
  created_at: string
}

const ONCE = { uri: MESSAGES_ONCE, description: 'The same message, sent again, is the same task.', required: false }
const MODES = ['text/plain', 'application/json']

/**
 * One card for all: the fields of A2A 1.0 and those of 0.3, which the reference's clients read too. Where both have one of the same name, what is in it
 * serves both; a client leaves out what it does not know.
 */
export function agentCard(agent: AgentFacts, apiUrl: string): Record<string, unknown> {
  const url = `${apiUrl}/api/v1/a2a/${agent.id}`
  const description = agent.description || `AI Agent ${agent.name}`
  const key = { description: 'The key of this agent.', name: 'x-api-key' }
  const bearer = { description: 'The key of this agent, or an access token or machine key of its client.', scheme: 'Bearer' }
  return {
    name: agent.name,
    description,
    url,
    preferredTransport: 'JSONRPC',
    protocolVersion: '0.3.0',
    supportedInterfaces: ['1.0', '0.3'].map((protocolVersion) => ({ url, protocolBinding: 'JSONRPC', protocolVersion })),
    provider: { organization: 'Evo AI Platform', url: apiUrl },
    version: '1.0.0',
    documentationUrl: `${apiUrl}/docs`,
    capabilities: { streaming: true, pushNotifications: true, stateTransitionHistory: false, extendedAgentCard: true, extensions: [ONCE] },
    supportsAuthenticatedExtendedCard: true,
    securitySchemes: {
      apiKey: { type: 'apiKey', in: 'header', ...key, apiKeySecurityScheme: { location: 'header', ...key } },
      bearer: { type: 'http', ...bearer, httpAuthSecurityScheme: bearer },
    },
    security: [{ apiKey: [] }, { bearer: [] }],
    securityRequirements: [{ schemes: { apiKey: { list: [] } } }, { schemes: { bearer: { list: [] } } }],
    defaultInputModes: MODES,
    defaultOutputModes: MODES,
    skills: [
      {
        id: 'general-assistance',
        name: agent.name,
        description,
        tags: [agent.type],
        examples: [],
        inputModes: MODES,
        outputModes: MODES,
      },
    ],
  }
}

/** What the card of a caller who is known says besides. */
export const extendedCard = (agent: AgentFacts, apiUrl: string): Record<string, unknown> => ({
  ...agentCard(agent, apiUrl),
  extended: {
    agent_id: agent.id,
    creation_date: agent.created_at,
    available_endpoints: { json_rpc: `${apiUrl}/api/v1/a2a/${agent.id}`, sessions: `${apiUrl}/api/v1/a2a/${agent.id}/sessions` },
    rate_limits: { headers: 'Every answer says what is left, in RateLimit and RateLimit-Policy.' },
  },
})
