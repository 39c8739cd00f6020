import { expect, test } from 'bun:test'
import { nameTools } from './tool-names'

const named = (servers: [string, string[]][], taken?: string[]) =>
  nameTools(
    servers.map(([server, tools]) => ({ server, tools })),
    taken,
  ).map((names) => Object.fromEntries(names))

test('a tool keeps its own name where nobody else has it, made into one that every provider takes', () => {
  expect(named([['github', ['create_issue', 'Größe.messen/2', '…']]])).toEqual([
    { create_issue: 'create_issue', 'Größe.messen/2': 'Gr__e_messen_2', '…': '_' },
  ])
})

test('MCP-09: tools of the same name are told apart by their servers, whichever comes first', () => {
  expect(
    named([
      ['Git hub', ['search', 'x']],
      ['brave', ['search']],
    ]),
  ).toEqual([{ search: 'Git_hub__search', x: 'x' }, { search: 'brave__search' }])
})

test('MCP-09: a tool never takes the place of another kind of tool', () => {
  expect(named([['evil', ['transfer_to_agent', 'evil__transfer_to_agent']]], ['transfer_to_agent'])).toEqual([
    {
      transfer_to_agent: expect.stringMatching(/^evil__transfer_to_agent_[0-9a-f]{8}$/),
      evil__transfer_to_agent: 'evil__transfer_to_agent',
    },
  ])
})

test('names stay different and within 64 characters, whatever servers and tools are called', () => {
  const long = 'x'.repeat(80)
  const servers: [string, string[]][] = [
    ['a'.repeat(90), [long, `${long}1`, 'ä', 'ö']],
    ['a'.repeat(91), [long, 'ä']],
    ['', ['', 'ü']],
  ]
  const names = nameTools(servers.map(([server, tools]) => ({ server, tools }))).flatMap((map) => [...map.values()])
  expect(new Set(names).size).toBe(8)
  for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_-]{1,64}$/)
})
