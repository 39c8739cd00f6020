import { afterAll, beforeAll, expect, test } from 'bun:test'
import { isTurnComplete, openChat } from '../support/chat-socket'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp({ AI_ENGINE: 'crewai' })
})
afterAll(() => app.close())

test('defect 13: with the engine that a deployment of the reference names, every way to an agent leads to the same session', async () => {
  const { call, clientId, token } = app.ada
  const draft = { client_id: clientId, name: 'echo', type: 'llm', model: 'demo/echo', config: {} }
  const agent = (await call('POST', '/api/v1/agents/', draft)).body
  expect((await call('POST', `/api/v1/chat/${agent.id}/somebody`, { message: 'by REST' })).body.response).toBe('Echo: by REST')
  const chat = await openChat(`${app.url}/api/v1/chat/ws/${agent.id}/somebody`, { type: 'authorization', token })
  chat.send({ message: 'by socket' })
  await chat.until(isTurnComplete)
  chat.socket.close()
  const message = { role: 'user', messageId: 'm', contextId: 'somebody', parts: [{ type: 'text', text: 'by A2A' }] }
  const request = { jsonrpc: '2.0', id: 1, method: 'message/send', params: { message } }
  const task = await app.stranger('POST', `/api/v1/a2a/${agent.id}`, request, { 'x-api-key': agent.config.api_key })
  expect(task.body.result.status.state).toBe('completed')
  const { body } = await call('GET', `/api/v1/sessions/somebody_${agent.id}/messages`)
  expect(body.map(({ content }: { content: { parts: { text: string }[] } }) => content.parts[0]?.text)).toEqual(
    ['by REST', 'by socket', 'by A2A'].flatMap((text) => [text, `Echo: ${text}`]),
  )
  expect((await call('DELETE', `/api/v1/sessions/somebody_${agent.id}`)).status).toBe(204)
})
