import { askedApproval, deadMail, failedDelivery, openStep } from '../made'
import { type Row, table, UNKNOWN } from '../table'

/** Routes that Evo AI 0.1.0 does not have: runs, what they cost, versions, webhooks, the operator's own. */

const row = (ask: Row['ask'], who: Row['who'], status: number, what: string, more: Partial<Row> = {}): Row => ({
  what,
  ask,
  who,
  status,
  ...more,
})
const own = { 'x-client-id': '{ada}' }
const body = (send: unknown) => ({ send })
const agent = { client_id: '{ada}', name: 'guide', type: 'llm', model: 'demo/echo', config: {} }
const makeAgent = row('POST /agents/', 'ada', 201, 'an agent', { ...body(agent), keep: { agent: 'id' } })
const rpc = (method: string, params: object) => body({ jsonrpc: '2.0', id: 1, method, params })

export const runs = table('Beyond: runs, approvals, usage, budgets', [
  makeAgent,
  row('POST /agents/{agent}/runs', 'ada', 200, 'waited for', {
    ...body({ message: 'hi', external_id: 'user-1' }),
    body: { status: 'succeeded', result: { response: 'Echo: hi' } },
    keep: { run: 'id' },
  }),
  row('POST /agents/{agent}/runs', 'ada', 202, 'left to the background', {
    ...body({ message: 'hi', external_id: 'user-2', mode: 'background' }),
    keep: { later: 'id' },
  }),
  row('POST /agents/{agent}/runs', 'ada', 502, 'a provider that fails', body({ message: '/fail' })),
  row('POST /agents/{agent}/runs', 'ada', 504, 'out of time', body({ message: '/slow 1500\nhi there', timeout_seconds: 1 })),
  row('GET /runs/', 'ada', 200, 'the list'),
  row('GET /runs/{run}', 'ada', 200, 'one', { body: { id: '{run}', status: 'succeeded' } }),
  row('GET /runs/{run}/events', 'ada', 200, 'its events, once more', { headers: { 'last-event-id': '1' } }),
  row('GET /runs/{run}/events', 'ada', 204, 'nothing behind its end', { headers: { 'last-event-id': '5' } }),
  row('POST /agents/{agent}/share', 'ada', 200, 'its key', { headers: own, send: {}, keep: { key: 'api_key' } }),
  row('GET /runs/{run}/events', 'nobody', 200, 'with the key that it may have been started with', {
    headers: { 'x-api-key': '{key}', 'last-event-id': '1' },
  }),
  row('GET /runs/{run}/events', 'nobody', 401, 'with a wrong key', { headers: { 'x-api-key': UNKNOWN }, says: 'Invalid API key' }),
  row('GET /runs/{unknown}/events', 'nobody', 401, 'an unknown one, with a key', {
    headers: { 'x-api-key': '{key}' },
    says: 'Invalid API key',
  }),
  row('GET /runs/{run}', 'nobody', 401, 'what it cost is not for keys', { headers: { 'x-api-key': '{key}' } }),
  row('POST /runs/{run}/cancel', 'ada', 200, 'one that is over stays as it is', {
    unaudited: 'nothing changes',
    body: { status: 'succeeded' },
  }),
  row('POST /runs/{run}/reconcile', 'ada', 409, 'one that waits for nothing', body({ step: 'tool:1', decision: 'retry' })),
  row('POST /runs/{run}/reconcile', 'ada', 409, 'one that is over cannot fail', body({ step: 'tool:1', decision: 'fail' })),
  row('POST /runs/{run}/approve', 'ada', 404, 'one that asks for nothing', body({ decision: 'approve' })),
  row('POST /runs/{run}/approve', 'ada', 200, 'what it asks for', {
    made: askedApproval,
    ...body({ decision: 'approve', step: '{step}' }),
    body: { state: 'approved' },
  }),
  row('GET /approvals/', 'ada', 200, 'the list'),
  row('GET /approvals/{approval}', 'ada', 200, 'one', { body: { id: '{approval}', tool: 'book' } }),
  row('POST /approvals/{approval}/decision', 'ada', 409, 'decided already', body({ decision: 'reject' })),
  row('POST /approvals/{approval}/decision', 'ada', 200, 'refused', {
    made: askedApproval,
    ...body({ decision: 'reject', reason: 'too dear' }),
    body: { state: 'rejected' },
  }),
  row('POST /runs/{run}/reconcile', 'ada', 200, 'what became of a step', { made: openStep, ...body({ step: 'tool:1', decision: 'fail' }) }),
  row('GET /usage', 'ada', 200, 'what it cost'),
  row('GET /usage?from=2020-02-31', 'ada', 422, 'no day'),
  row('GET /usage?to=9999-12-31T23:59:59-01:00', 'ada', 422, 'a moment behind the last year'),
  row('PUT /budgets/{ada}/agent/{agent}', 'ada', 200, 'a budget', { ...body({ limit_usd: 0 }), body: { limit_usd: 0 } }),
  row('PUT /budgets/{unknown}/client/{unknown}', 'admin', 404, 'of no client', { ...body({ limit_usd: 1 }), says: 'Client not found' }),
  row('GET /budgets/{ada}', 'ada', 200, 'the budgets'),
  row('DELETE /budgets/{ada}/agent/{agent}', 'ada', 204, 'none any more'),
  row('POST /chat/{agent}/user-3', 'ada', 502, 'a provider that fails', {
    ...body({ message: '/fail' }),
    changed: '200 with the error as text',
  }),
])

export const versions = table('Beyond: versions, transfer, MCP tools, files', [
  makeAgent,
  row('PUT /agents/{agent}', 'ada', 200, 'changed', body({ description: 'second' })),
  row('PUT /agents/{agent}', 'ada', 412, 'changed meanwhile', { ...body({ description: 'third' }), headers: { 'if-match': '"1"' } }),
  row('DELETE /agents/{agent}', 'ada', 412, 'changed meanwhile', { headers: { 'if-match': '"1"' } }),
  row('POST /agents/validate', 'ada', 200, 'a change that is only tried', {
    unaudited: 'nothing is stored',
    ...body({ id: '{agent}', name: 'two words' }),
    body: { valid: false, problems: [{ path: '/name', code: 'format' }] },
  }),
  row('POST /agents/validate', 'ada', 404, 'a change of an agent that is not there', body({ id: '{unknown}', name: 'two_words' })),
  row('GET /agents/{agent}/versions/', 'ada', 200, 'the list'),
  row('GET /agents/{agent}/versions/1', 'ada', 200, 'one', { body: { version: 1 } }),
  row('GET /agents/{agent}/versions/1/diff?to=2', 'ada', 200, 'what is different'),
  row('POST /agents/{agent}/versions/1/rollback', 'ada', 200, 'back', { body: { id: '{agent}' } }),
  row('GET /agents/export', 'ada', 200, 'all of them in a file', { headers: own }),
  row('GET /agents/{agent}/export', 'ada', 200, 'one in a file'),
  row('POST /agents/{agent}/share', 'ada', 200, 'shared', { ...body({}), headers: own }),
  row('DELETE /agents/{agent}/share', 'ada', 204, 'its key is over'),
  row('GET /agents/{agent}/mcp-tools', 'ada', 200, 'tools of its servers', { body: [] }),
  row('POST /agents/{agent}/mcp-tools/accept', 'ada', 422, 'a tool that nobody offered', {
    ...body({ tools: [{ server_key: 'url:nothing', name: 'nothing', hash: '0'.repeat(64) }] }),
  }),
  row('POST /chat/{agent}/user-1', 'ada', 200, 'a turn with a file', {
    ...body({ message: 'hi', files: [{ filename: 'note.txt', content_type: 'text/plain', data: btoa('hello') }] }),
  }),
  row('GET /sessions/user-1_{agent}/artifacts', 'ada', 200, 'its files'),
  row('GET /sessions/user-1_{agent}/artifacts/note.txt', 'ada', 200, 'one of them', { body: 'hello' }),
  row('GET /sessions/user-1_{agent}/artifacts/none.txt', 'ada', 404, 'no such file'),
  row('POST /contacts/', 'ada', 201, 'somebody', { ...body({ client_id: '{ada}', ext_id: 'user-9' }), keep: { contact: 'id' } }),
  row('POST /contacts/', 'ada', 201, 'somebody else', { ...body({ client_id: '{ada}', ext_id: 'user-8' }), keep: { other: 'id' } }),
  row('PUT /contacts/{other}', 'ada', 409, 'an outside id that is taken', body({ client_id: '{ada}', ext_id: 'user-9' })),
  row('POST /contacts/{contact}/erase', 'ada', 200, 'forgotten', { body: { contact_id: '{contact}' } }),
  row('POST /contacts/', 'admin', 404, 'of no client', { ...body({ client_id: '{unknown}' }), says: 'Client not found', changed: '500' }),
  row('POST /agents/', 'admin', 404, 'of no client', { ...body({ ...agent, client_id: '{unknown}' }), says: 'Client not found' }),
  row('POST /agents/folders', 'admin', 404, 'of no client', { ...body({ client_id: '{unknown}', name: 'f' }), says: 'Client not found' }),
  row('POST /agents/apikeys', 'admin', 404, 'of no client', {
    ...body({ client_id: '{unknown}', name: 'k', provider: 'openai', key_value: 'sk-1234567' }),
    says: 'Client not found',
  }),
])

export const a2aBeyond = table('3.14, 9.7 A2A: what the lab asks for', [
  makeAgent,
  row('GET /a2a/{agent}/.well-known/agent-card.json', 'nobody', 200, 'the card of the current protocol'),
  row('POST /a2a/{agent}', 'ada', 200, 'a message, the contextId beside it', {
    ...rpc('message/send', { message: { role: 'user', messageId: 'm', parts: [{ type: 'text', text: 'hi' }] }, contextId: 'talk-1' }),
    body: { result: { contextId: 'talk-1', status: { state: 'completed' } } },
    keep: { task: 'result.id' },
    changed: 'the contextId was dropped',
  }),
  row('GET /a2a/{agent}?taskId={task}', 'ada', 200, 'its events', { changed: '405' }),
  row('GET /a2a/{agent}/sessions?external_id=talk-1', 'ada', 200, 'the talk', { keep: { talk: 'sessions.0.sessionId' } }),
  row('GET /a2a/{agent}/sessions/{talk}/history?limit=5', 'ada', 200, 'what was said', { body: { total: 2 } }),
  row('POST /a2a/{agent}/conversation/history', 'ada', 200, 'as a task', {
    unaudited: 'a reading',
    ...body({ jsonrpc: '2.0', id: 1, params: { contextId: 'talk-1' } }),
    body: { result: { metadata: { total_messages: 2, operation: 'conversation_history_retrieval' } } },
  }),
  row('POST /a2a/{agent}', 'ada', 400, 'no JSON-RPC 2.0', {
    ...body({ jsonrpc: '1.0', id: 1, method: 'tasks/get', params: {} }),
    changed: '500',
  }),
  row('POST /a2a/{agent}', 'ada', 200, 'a card for who is known', {
    ...rpc('agent/authenticatedExtendedCard', {}),
    unaudited: 'a reading',
    body: { result: { name: 'guide' } },
    changed: 'always an error',
  }),
  row('POST /a2a/{agent}', 'ada', 200, 'a webhook in our own network', {
    ...rpc('tasks/pushNotificationConfig/set', { taskId: '{task}', pushNotificationConfig: { url: 'https://127.0.0.1/x' } }),
    body: { error: { code: -32602 } },
    changed: 'accepted',
  }),
  row('POST /a2a/{agent}', 'ada', 200, 'a task that is over cannot be cancelled', {
    ...rpc('tasks/cancel', { taskId: '{task}' }),
    body: { error: { code: -32002 } },
    changed: 'success',
  }),
])

export const webhooks = table('Beyond: webhooks', [
  row('POST /clients/{ada}/webhooks/', 'ada', 201, 'one', {
    ...body({ url: 'https://hooks.example/x', events: ['run.finished'] }),
    keep: { webhook: 'id' },
  }),
  row('POST /clients/{unknown}/webhooks/', 'admin', 404, 'for no client', {
    ...body({ url: 'https://hooks.example/x', events: ['run.finished'] }),
    says: 'Client not found',
  }),
  row('GET /clients/{ada}/webhooks/', 'ada', 200, 'the list'),
  row('GET /clients/{ada}/webhooks/{webhook}', 'ada', 200, 'one', { body: { id: '{webhook}' } }),
  row('PUT /clients/{ada}/webhooks/{webhook}', 'ada', 200, 'switched off', { ...body({ is_active: false }), body: { is_active: false } }),
  row('GET /clients/{ada}/webhooks/{webhook}/deliveries', 'ada', 200, 'what was sent', { made: failedDelivery }),
  row('POST /clients/{ada}/webhooks/{webhook}/deliveries/{unknown}/replay', 'ada', 404, 'none'),
  row('POST /clients/{ada}/webhooks/{webhook}/deliveries/{delivery}/replay', 'ada', 409, 'to a webhook that is switched off'),
  row('PUT /clients/{ada}/webhooks/{webhook}', 'ada', 200, 'switched on', { ...body({ is_active: true }), body: { is_active: true } }),
  row('POST /clients/{ada}/webhooks/{webhook}/deliveries/{delivery}/replay', 'ada', 202, 'once more'),
  row('DELETE /clients/{ada}/webhooks/{webhook}', 'ada', 204, 'gone'),
])

export const operator = table('Beyond: the operator’s own', [
  row('GET /admin/queues/', 'admin', 200, 'the queues', { made: deadMail }),
  row('GET /admin/emails', 'admin', 200, 'the mails'),
  row('GET /admin/emails/{email_id}', 'admin', 200, 'one', { body: { state: 'failed' } }),
  row('GET /admin/queues/email/dead', 'admin', 200, 'what was set aside', { keep: { letter: '0.id' } }),
  row('POST /admin/queues/email/dead/{letter}/replay', 'admin', 202, 'once more'),
  row('GET /admin/email-suppressions', 'admin', 200, 'who gets none any more'),
  row('DELETE /admin/email-suppressions/gone@example.com', 'admin', 204, 'gets them again'),
  row('POST /admin/emails/{email_id}/resend', 'admin', 202, 'sent again'),
  row('GET /admin/queues/email/dead', 'admin', 200, 'another one', { made: deadMail, keep: { letter: '0.id' } }),
  row('DELETE /admin/queues/email/dead/{letter}', 'admin', 204, 'discarded'),
  row('POST /webhooks/sendgrid', 'nobody', 503, 'no key to know SendGrid by', body([])),
  row('GET /admin/audit-logs/export', 'admin', 200, 'the log as lines'),
  row('GET /admin/audit-logs/verify', 'admin', 200, 'whether it is whole', { body: { valid: true } }),
  row('POST /admin/audit-logs/erase', 'admin', 200, 'what it says of a person', body({ user_id: '{adas_user}' })),
  row('GET /clients/{ada}/audit-logs', 'ada', 200, 'a client’s own log'),
  row('GET /clients/{ada}/audit-logs/export', 'ada', 200, 'as lines'),
])

export const limits = table(
  '3.9, 3.12 What takes too long or costs too much',
  [
    makeAgent,
    row('POST /chat/{agent}/user-1', 'ada', 504, 'out of time', { ...body({ message: '/slow 3000\nhi' }), changed: '200 with a text' }),
    row('POST /agents/', 'ada', 201, 'an agent that says everything twice', {
      ...body({ ...agent, name: 'loop', type: 'loop', model: undefined, config: { sub_agents: ['{agent}'], max_iterations: 5 } }),
      keep: { loop: 'id' },
    }),
    row('POST /agents/{loop}/runs', 'ada', 402, 'out of tokens', body({ message: 'word '.repeat(1200) })),
    row('POST /chat/{loop}/user-1', 'ada', 402, 'out of tokens', body({ message: 'word '.repeat(1200) })),
    row('POST /mcp-servers/', 'admin', 502, 'a server that is away, asked for its tools', {
      ...body({ name: 'away', config_type: 'sse', config_json: { url: 'http://127.0.0.1:9/' } }),
      changed: '500',
    }),
    row('POST /mcp-servers/', 'admin', 201, 'one that is not asked', {
      ...body({ name: 'away', config_type: 'sse', config_json: { url: 'http://127.0.0.1:9/' }, tools: [] }),
      keep: { server: 'id' },
    }),
    row('PUT /mcp-servers/{server}', 'admin', 502, 'a server that is away, asked for its tools', {
      ...body({ name: 'away', config_type: 'sse', config_json: { url: 'http://127.0.0.1:9/' } }),
      changed: '500',
    }),
  ],
  { RUN_TIMEOUT_SECONDS: '2', RUN_MAX_TOKENS: '1000', OUTBOUND_ALLOW: '127.0.0.1' },
)
