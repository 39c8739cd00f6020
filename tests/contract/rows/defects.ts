import { table } from '../table'

const agent = { client_id: '{ada}', name: 'guide', type: 'llm', model: 'demo/echo', config: {} }
const password = 'four unusual words here'

/** Defects of Evo AI 0.1.0 that no other test has by its number. */
export const defects = table('10 Defects not repeated', [
  { what: 'an agent', ask: 'POST /agents/', who: 'ada', send: agent, status: 201, keep: { agent: 'id' } },
  {
    what: 'defect 11: an external id that could not be read again',
    ask: 'POST /chat/{agent}/a_b',
    who: 'ada',
    send: { message: 'hi' },
    status: 422,
    changed: 'written',
  },
  {
    what: 'defect 11: more than one underscore is read',
    ask: 'GET /sessions/a_b_{agent}',
    who: 'ada',
    status: 404,
    says: 'Session not found: a_b_{agent}',
    changed: '400',
  },
  {
    what: 'defect 23: by an id under the own header',
    ask: 'GET /agents/{agent}',
    who: 'bob',
    headers: { 'x-client-id': '{bob}' },
    status: 404,
    changed: '200',
  },
  {
    what: 'defects 38, 39: who is not registered is told nothing',
    ask: 'POST /auth/resend-verification',
    who: 'nobody',
    send: { email: 'who@example.com' },
    status: 200,
    changed: '400',
  },
  {
    what: 'defect 40: an admin’s password',
    ask: 'POST /admin/users',
    who: 'admin',
    send: { email: 'r@example.com', password: 'x', name: 'R' },
    status: 422,
    changed: '201',
  },
  {
    what: 'defect 46: a taken address tells no SQL',
    ask: 'POST /clients',
    who: 'admin',
    send: { name: 'B', email: 'bob@example.com', password },
    status: 409,
    changed: '400 with SQL',
  },
  { what: 'defect 68: a negative limit', ask: 'GET /tools/?limit=-1', who: 'ada', status: 422, changed: '500' },
  { what: 'defect 68: no limit to a limit', ask: 'GET /tools/?limit=1000000', who: 'ada', status: 422, changed: '200' },
  { what: 'defect 70: what is no id', ask: 'PUT /agents/nothing', who: 'ada', send: {}, status: 422, changed: '500' },
  { what: 'a turn', ask: 'POST /chat/{agent}/user-1', who: 'ada', send: { message: 'hi' }, status: 200 },
  { what: 'the agent goes', ask: 'DELETE /agents/{agent}', who: 'ada', status: 204 },
  { what: 'defects 30, 66: its conversations went with it', ask: 'GET /sessions/user-1_{agent}', who: 'bob', status: 404, changed: '200' },
  { what: 'defects 30, 66: for the owner too', ask: 'GET /sessions/user-1_{agent}', who: 'ada', status: 404, changed: '200' },
  { what: 'a user is deactivated', ask: 'DELETE /admin/users/{adas_user}', who: 'admin', status: 204 },
  { what: 'defect 35: and the token ends', ask: 'GET /clients/', who: 'ada', status: 401, changed: '200 until it expires' },
])
