import { DomainError } from '~/platform/errors'
import type { Outbound } from '~/platform/outbound'
import { sendOfficially } from './remote-official'
import { sendByReference } from './remote-reference'
import type { OpenRemoteAgent, RemoteAgentSpec } from './types'

export interface RemoteDeps {
  outbound: Outbound
  /** Of all that one message is answered with. */
  maxBytes: number
}

export type Fetch = (url: string | URL | Request, init?: RequestInit) => Promise<Response>

/** What a call to the other side needs, whatever its dialect. */
export interface Line {
  fetch: Fetch
  card: Record<string, unknown>
  signal: AbortSignal
}

const MAX_SAID = 300

/** Agents on other servers: in the official protocol (1.0 or 0.3) or the reference's dialect, as their card says. */
export const createOpenRemote =
  ({ outbound, maxBytes }: RemoteDeps): OpenRemoteAgent =>
  (spec) => {
    const call = guardedFetch(outbound, spec, maxBytes)
    return {
      effect: takesMessagesOnce(spec) ? 'idempotent' : 'unsafe',
      async send(message, { signal, onText }) {
        const deadline = AbortSignal.timeout(spec.timeoutMs)
        const both = AbortSignal.any([signal, deadline])
        try {
          const card = await cardOf(spec, call, both)
          const line = { fetch: call, card, signal: both }
          const reply = isReference(card) ? await sendByReference(line, message, onText) : await sendOfficially(line, message, onText)
          if (reply.parts.length === 0) throw new DomainError('upstream-error', 'The remote agent has given no answer.')
          return reply
        } catch (error) {
          signal.throwIfAborted()
          if (deadline.aborted) throw new DomainError('upstream-timeout', 'The remote agent did not answer in time.', { cause: error })
          if (error instanceof DomainError) throw error
          const said = error instanceof Error ? error.message.slice(0, MAX_SAID) : 'unknown'
          throw new DomainError('upstream-error', `The remote agent refused the message: ${said}`, { cause: error })
        }
      },
    }
  }

/** Through the guard, with the credentials for the origin that the tenant has entered and for no other. */
function guardedFetch(outbound: Outbound, { cardUrl, config, timeoutMs, traceId }: RemoteAgentSpec, maxBytes: number): Fetch {
  const home = outbound.check(cardUrl).origin
  const credentials = credentialsOf(config.auth)
  return async (input, init) => {
    const url = input instanceof Request ? input.url : String(input)
    const headers = new Headers(input instanceof Request ? input.headers : init?.headers)
    if (outbound.check(url).origin === home) for (const [name, value] of credentials) headers.set(name, value)
    // Who is asked in a circle can tell by it.
    headers.set('traceparent', `00-${traceId}-${crypto.randomUUID().replaceAll('-', '').slice(0, 16)}-01`)
    return outbound.fetch(input, { ...init, headers }, { timeoutMs, maxBytes })
  }
}

/** `config.auth`: `{type: "apiKey", name?, value}` or `{type: "bearer", token}`. */
function credentialsOf(auth: unknown): [string, string][] {
  if (auth === null || typeof auth !== 'object') return []
  const { type, name, header, headerName, value, token, credentials, apiKey, api_key } = auth as Record<string, unknown>
  const secret = [value, token, apiKey, api_key, credentials].find((one): one is string => typeof one === 'string' && one !== '')
  if (secret === undefined) return []
  if (String(type).toLowerCase() === 'bearer') return [['authorization', `Bearer ${secret}`]]
  const into = [name, header, headerName].find((one): one is string => typeof one === 'string' && one !== '')
  return [[into ?? 'x-api-key', secret]]
}

async function cardOf({ config, cardUrl }: RemoteAgentSpec, call: Fetch, signal: AbortSignal): Promise<Record<string, unknown>> {
  if (config.agent_card !== null && typeof config.agent_card === 'object') return config.agent_card as Record<string, unknown>
  const response = await call(cardUrl, { signal, headers: { accept: 'application/json' } })
  if (!response.ok) throw new DomainError('upstream-error', `The card of the remote agent cannot be fetched: ${response.status}.`)
  return (await response.json()) as Record<string, unknown>
}

/** The official cards name their version. */
const isReference = ({ supportedInterfaces, protocolVersion }: Record<string, unknown>) =>
  !Array.isArray(supportedInterfaces) && protocolVersion === undefined

/** Servers of our kind say so in their card: there a message sent twice is one task. */
const takesMessagesOnce = ({ config: { agent_card } }: RemoteAgentSpec) =>
  (agent_card as { capabilities?: { extensions?: { uri?: unknown }[] } } | null | undefined)?.capabilities?.extensions?.some(
    ({ uri }) => uri === MESSAGES_ONCE,
  ) === true

export const MESSAGES_ONCE = 'https://evo-ai.dev/a2a/extensions/messages-once/v1'
