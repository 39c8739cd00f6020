import { readEvents, shownText } from './events'
import { signUp } from './newcomer'
import { call, type Outcome } from './traffic'

export type Visitor = Awaited<ReturnType<typeof createVisitor>>

export const PASSWORD = 'a long enough password'
export const newEmail = () => `${crypto.randomUUID()}@example.com`

/** A new tenant with one agent, and what its people do. Every call is one request on a connection of its own, and tells how it ended. */
export async function createVisitor(url: string) {
  const { clientId, headers, createAgent } = await signUp(url, newEmail())
  const agentId = await createAgent()
  let sessions = 0

  const newAgent = (name: string) => ({ client_id: clientId, name, type: 'llm', model: 'demo/echo', config: {} })

  return {
    headers,
    agentId,
    newAgent,
    readAgent: () => call('read', `${url}/api/v1/agents/${agentId}`, { headers }),
    addAgent: (name = 'guide', more: Record<string, string> = {}) =>
      call('write', `${url}/api/v1/agents/`, {
        json: newAgent(name),
        headers: { ...headers, ...more },
      }),
    register: (email: string) => call('register', `${url}/api/v1/auth/register`, { json: { email, password: PASSWORD, name: 'Visitors' } }),
    signIn: (email = newEmail()) => call('sign in', `${url}/api/v1/auth/login`, { json: { email, password: PASSWORD } }),
    whoAmI: () => call('who am I', `${url}/api/v1/auth/me`, { method: 'POST', headers }),
    signOut: () => call('sign out', `${url}/api/v1/auth/logout`, { method: 'POST', headers }),
    chat: () => call('chat', `${url}/api/v1/chat/${agentId}/visitor-${sessions++}`, { json: { message: 'hello' }, headers }),

    /** Watches an answer of so many words (`word0 word1 …`) as it comes. 200: every event was there, once and in order, to the end. */
    async watch({ words, pauseMs, onEvent }: { words: number; pauseMs: number; onEvent?: () => void }): Promise<Outcome> {
      const at = performance.now()
      const text = Array.from({ length: words }, (_, index) => `word${index}`).join(' ')
      const response = await fetch(`${url}/api/v1/chat/${agentId}/watcher-${sessions++}?stream=true`, {
        method: 'POST',
        keepalive: false,
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify({ message: `/slow ${pauseMs}\n${text}` }),
      })
      const events = await readEvents(response, () => {
        onEvent?.()
        return false
      })
      const isWhole =
        shownText(events) === `Echo: ${text}` && events.at(-1)?.type === 'run-finished' && events.every(({ id }, index) => id === index + 1)
      return { what: 'watch', status: isWhole ? 200 : 0, ms: performance.now() - at, at, headers: response.headers, body: events }
    },
  }
}

export const isReady = (url: string) => call('readiness', `${url}/readyz`)
export const isAlive = (url: string) => call('liveness', `${url}/livez`)
