// Compiled against the types that openapi-typescript makes of the API document: what a client's code would say.
import type { components, paths } from './generated/api'

type Login = paths['/api/v1/auth/login']['post']
export const credentials: Login['requestBody']['content']['application/json'] = {
  email: 'ada@example.com',
  password: 'correct horse battery',
}

type Agents = paths['/api/v1/agents/']['get']['responses'][200]['content']['application/json']
export const names = (agents: Agents): string[] => agents.map(({ name }) => name)

type NewAgent = NonNullable<paths['/api/v1/agents/']['post']['requestBody']>['content']['application/json']
export const agent: NewAgent = {
  client_id: '6b1f0f6e-5d0a-4a2e-9a54-3f8f0b1a7c11',
  name: 'guide',
  type: 'llm',
  model: 'demo/echo',
  config: {},
}

type Problem = components['schemas']['Problem']
export const explain = ({ title, detail, errors }: Problem): string =>
  [title, detail, ...(errors ?? []).map(({ pointer, message }) => `${pointer}: ${message}`)].join('\n')

// @ts-expect-error: an agent has no such type
export const wrong: NewAgent = { ...agent, type: 'crew_ai' }
