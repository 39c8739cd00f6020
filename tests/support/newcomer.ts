/** What a person does first: signs up, follows the link of the mail, signs in, makes an agent. Against a server that keeps mails in its mailbox. */
export async function signUp(url: string, email: string) {
  const post = async (path: string, body: unknown, headers: Record<string, string> = {}) => {
    const response = await fetchAgain(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID(), ...headers },
      body: JSON.stringify(body),
    })
    if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${await response.text()}`)
    return (await response.json()) as Record<string, string>
  }
  const password = 'a long enough password'
  const { client_id: clientId = '' } = await post('/api/v1/auth/register', { email, password, name: 'Newcomers' })
  const code = await linkCode(url, email)
  await fetch(`${url}/api/v1/auth/verify-email/${code}`)
  const { access_token: token = '' } = await post('/api/v1/auth/login', { email, password })
  const headers = { authorization: `Bearer ${token}` }
  return {
    clientId,
    headers,
    async createAgent(more: object = {}): Promise<string> {
      const agent = await post(
        '/api/v1/agents/',
        { client_id: clientId, name: 'guide', type: 'llm', model: 'demo/echo', config: {}, ...more },
        headers,
      )
      return agent.id ?? ''
    },
  }
}

/** The code of the newest mail's link that has one, as soon as the mail is there. */
export async function linkCode(url: string, email: string, timeoutMs = 15_000): Promise<string> {
  const deadline = Date.now() + timeoutMs
  while (Date.now() < deadline) {
    const mails = (await (await fetch(`${url}/dev/mailbox`, { headers: { accept: 'application/json' } })).json()) as {
      to: string
      text: string
    }[]
    const codes = mails.flatMap(({ to, text }) => (to === email ? (/code=(\w+)/.exec(text)?.[1] ?? []) : []))
    if (codes[0] !== undefined) return codes[0]
    await Bun.sleep(50)
  }
  throw new Error(`no mail for ${email} within ${timeoutMs} ms`)
}

/** As a careful client does: a connection that breaks because its process just ended is tried again, with the same Idempotency-Key. */
export async function fetchAgain(url: string, init: RequestInit): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await fetch(url, init)
    } catch (error) {
      if (attempt === 10) throw error
      await Bun.sleep(100)
    }
  }
}
