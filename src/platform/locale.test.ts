import { expect, test } from 'bun:test'
import { localeFor } from './locale'

test.each([
  [null, 'en'],
  ['', 'en'],
  ['pt', 'pt'],
  ['PT-br', 'pt'],
  ['pt-BR,pt;q=0.9,en;q=0.8', 'pt'],
  ['en;q=0.5, pt;q=0.7', 'pt'],
  ['fr, de;q=0.9, pt;q=0.1', 'pt'],
  ['pt;q=0', 'en'],
  ['*', 'en'],
  ['fr', 'en'],
  ['ptolemy', 'en'],
  ['en, pt', 'en'],
  [';q=,,pt;q=nonsense,\0', 'en'],
  [`${'fr,'.repeat(5000)}pt`, 'en'],
] as const)('%p is answered in %s', (header, locale) => expect(localeFor(header)).toBe(locale))
