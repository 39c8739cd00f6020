import { type Row, table } from '../table'

const own = { 'x-client-id': '{ada}' }
const leaf = { id: 'leaf', name: 'leaf', type: 'llm', model: 'demo/echo', config: {} }
const file = (content: unknown, more: { name?: string; folder_id?: string } = {}): Row['upload'] => ({
  name: 'agents.json',
  text: typeof content === 'string' ? content : JSON.stringify(content),
  ...more,
})
const send = (what: string, upload: Row['upload'], status: number, more: Partial<Row> = {}): Row => ({
  what,
  ask: 'POST /agents/import',
  who: 'ada',
  headers: own,
  ...(upload && { upload }),
  status,
  ...more,
})
const node = (agent: object) => ({ id: 'n', type: 'agent-node', position: { x: 1, y: 2 }, data: { label: 'n', agent } })

export const imports = table('3.8, 9.6 Import and export', [
  send('one agent', file(leaf), 201, { keep: { leaf: '0.id' } }),
  send('a list of agents', file({ agents: [leaf, { ...leaf, id: 'other', name: 'other' }] }), 201),
  send('none', file({ agents: [] }), 201, { body: [] }),
  send('a list at the top', file([leaf]), 201, { changed: '500' }),
  send('as JSON', undefined, 201, { send: { agents: [leaf] } }),
  send('not named .json', file({ agents: [] }, { name: 'agents.txt' }), 400, { says: 'Only JSON files are supported' }),
  send('no JSON', file('{'), 400, { says: 'Invalid JSON format' }),
  send('no list', file({ agents: {} }), 400, { says: "The 'agents' field must contain a list of agent definitions" }),
  send('a folder that is no id', file({ agents: [] }, { folder_id: 'x' }), 400, { says: 'Invalid folder ID format' }),
  send('an unknown folder', file({ agents: [] }, { folder_id: '{unknown}' }), 404, { says: 'Folder not found' }),
  {
    what: "another's folder",
    ask: 'POST /agents/folders',
    who: 'bob',
    send: { client_id: '{bob}', name: 'his' },
    status: 201,
    keep: { his: 'id' },
  },
  send("another's folder", file({ agents: [] }, { folder_id: '{his}' }), 404, { says: 'Folder not found', changed: '403' }),
  {
    what: 'an own folder',
    ask: 'POST /agents/folders',
    who: 'ada',
    send: { client_id: '{ada}', name: 'mine' },
    status: 201,
    keep: { mine: 'id' },
  },
  send('into it', file({ ...leaf, name: 'filed' }, { folder_id: '{mine}' }), 201),
  { what: 'it is there', ask: 'GET /agents/folders/{mine}/agents', who: 'ada', headers: own, status: 200, keep: { filed: '0.id' } },
  { what: 'with an id of its own', ask: 'GET /agents/{filed}', who: 'ada', status: 200, body: { name: 'filed', folder_id: '{mine}' } },
  send('for another client', file({ ...leaf, client_id: '{bob}' }), 403, { changed: '422 with the text among others' }),
  send('under the header of another client', file(leaf), 403, { headers: { 'x-client-id': '{bob}' } }),
  send('without the header', file(leaf), 422, { headers: {} }),
  send('an agent that breaks a rule', file({ agents: [leaf, { ...leaf, id: 'b', name: 'two words' }] }), 422, {
    body: { errors: [{ pointer: '/agents/1/name' }] },
    changed: '201 with the others',
  }),
  send(
    'references within the file, in any order',
    file({
      agents: [
        { id: 'team', name: 'team', type: 'sequential', model: '', config: { sub_agents: ['late'] } },
        { ...leaf, id: 'late', name: 'late' },
      ],
    }),
    201,
    { changed: 'dropped' },
  ),
  send(
    'agents embedded in agents, as the frontend writes them',
    file({
      name: 'talker',
      type: 'llm',
      model: 'demo/echo',
      config: { sub_agents: [{ ...leaf, id: 'x', name: 'x' }], agent_tools: ['x'] },
    }),
    201,
    { changed: 'dropped' },
  ),
  send(
    'an agent embedded in a node',
    file({
      name: 'flow',
      type: 'workflow',
      config: { workflow: { nodes: [node({ ...leaf, id: 'y', name: 'y' })], edges: [] } },
    }),
    201,
  ),
  send(
    'an agent of another server, by its card',
    file({
      name: 'remote',
      type: 'a2a',
      config: { agent_card: { name: 'Remote', url: 'https://agents.example.com/api/v1/a2a/1' } },
    }),
    201,
    { changed: 'refused' },
  ),
  { what: 'the file of all', ask: 'GET /agents/export', who: 'ada', headers: own, status: 200, changed: 'made in the browser' },
  { what: 'the file of one', ask: 'GET /agents/{leaf}/export', who: 'ada', status: 200 },
])
