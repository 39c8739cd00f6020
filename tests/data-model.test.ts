import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { describeSchema, PURPOSES, renewed } from '../db/data-model'
import { services } from './support/services'

test('db/README.md shows the schema as the migrations make it, with a purpose for each table (bun run db:document renews it)', async () => {
  const schema = await describeSchema(services.databaseUrl)
  const page = await Bun.file(join(import.meta.dir, '../db/README.md')).text()
  const tables = [...schema.matchAll(/^### (\w+)$/gm)].map(([, table = '']) => table)
  expect(Object.keys(PURPOSES).toSorted()).toEqual(tables.toSorted())
  expect(page).toBe(renewed(page, schema))
})
