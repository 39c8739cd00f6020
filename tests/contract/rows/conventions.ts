import { table } from '../table'

export const conventions = table('1 Conventions, errors', [
  { what: 'nobody', ask: 'GET /clients/', who: 'nobody', status: 401, says: 'Not authenticated' },
  {
    what: 'a malformed credential',
    ask: 'GET /clients/',
    who: 'nobody',
    headers: { authorization: 'Basic YTpi' },
    status: 401,
    says: 'Not authenticated',
  },
  {
    what: 'a bad token',
    ask: 'GET /clients/',
    who: 'nobody',
    headers: { authorization: 'Bearer a.b.c' },
    status: 401,
    says: 'Invalid credentials',
  },
  {
    what: 'a wrong tenant',
    ask: 'GET /sessions/client/{bob}',
    who: 'ada',
    status: 403,
    says: 'Access denied to access resources of this client',
  },
  { what: 'not an admin', ask: 'GET /admin/users', who: 'ada', status: 403, says: 'Access denied. Restricted to administrators.' },
  {
    what: 'a field that is missing',
    ask: 'POST /contacts/',
    who: 'ada',
    send: {},
    status: 422,
    says: 'client_id: Is required',
    body: { errors: [{ pointer: '/client_id', code: 'required' }] },
  },
  { what: 'a path that is nowhere', ask: 'GET /nothing', who: 'ada', status: 404, unaudited: 'no route asks who it is' },
  { what: 'a method that is not there', ask: 'DELETE /clients', who: 'admin', status: 405 },
  {
    what: 'an import of nothing that works',
    ask: 'POST /agents/import',
    who: 'ada',
    headers: { 'x-client-id': '{ada}' },
    send: { agents: [{ name: 'a b', type: 'llm' }] },
    status: 422,
  },
  { what: 'with a slash', ask: 'GET /clients/', who: 'ada', status: 200 },
  { what: 'without one', ask: 'GET /clients', who: 'ada', status: 200, changed: '405' },
  { what: 'a page too large', ask: 'GET /clients/?limit=1001', who: 'ada', status: 422, changed: 'no limit' },
  {
    what: 'a page of a thousand, as the web frontend asks for it (defect 79)',
    ask: 'GET /clients/?skip=0&limit=1000',
    who: 'ada',
    status: 200,
  },
  { what: 'a page before the first', ask: 'GET /clients/?skip=-1', who: 'ada', status: 422, changed: '500' },
])

export const health = table('3.1 Health', [{ what: 'alive', ask: 'GET /health', who: 'nobody', status: 200, changed: '404' }])
