import { join } from 'node:path'
import { Glob } from 'bun'

const ROOT = join(import.meta.dir, '../..')
/** Tests, and the tables that some are made of. */
const FILES = ['src/**/*.test.ts', 'db/**/*.test.ts', 'tests/**/*.test.ts', 'tests/contract/rows/*.ts', 'tests/security/transport/*.ts']
const LITERAL = /(['"`])((?:\\.|(?!\1)[^\\\n])*)\1/g

/** Every text on one line of every test, comments left out: the titles are among them. */
export async function titles(): Promise<string[]> {
  const paths = new Set(FILES.flatMap((pattern) => [...new Glob(pattern).scanSync(ROOT)]).filter((path) => !path.startsWith('tests/held/')))
  const sources = await Promise.all([...paths].map((path) => Bun.file(join(ROOT, path)).text()))
  return sources.flatMap((source) =>
    source
      .split('\n')
      .filter((line) => !/^\s*(\/\/|\/?\*)/.test(line))
      .flatMap((line) => [...line.matchAll(LITERAL)].map(([, , text = '']) => text)),
  )
}

/** The numbers in `defect 3` and `defects 3, 5`. */
export const defectsIn = (title: string): number[] =>
  [...title.matchAll(/\bdefects? (\d+(?:, \d+)*)/g)].flatMap(([, numbers = '']) => numbers.split(', ').map(Number))

export const threatsIn = (title: string): string[] =>
  title.match(/\b(?:HTTP|PWD|OTT|JWT|ACL|KEY|SSRF|MCP|WS|HOOK|QUEUE|COST|F)-\d\d\b/g) ?? []
