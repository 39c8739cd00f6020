import { expect, test } from 'bun:test'
import { createStatementFacts, isRead } from './statements'

test.each([
  ['select 1', true],
  ['  WITH a AS (select 1) select * from a', true],
  ['select "updated_at", "deleted" from "updates" where x = $1', true],
  ['insert into t values (1)', false],
  ['with a as (delete from t returning *) select * from a', false],
  ['select * from t for update skip locked', false],
  ['select * from t FOR NO KEY UPDATE', false],
  ['select * into u from t', false],
  [`select nextval('s')`, false],
  ['select pg_advisory_xact_lock(1)', false],
  ['select pg_try_advisory_lock(1)', false],
  ['select 1; drop table t', false],
  ['select 1;', true],
  ['explain analyze delete from t', false],
  ['begin', false],
])('%s: may be asked twice: %p', (text, expected) => {
  expect(isRead(text)).toBe(expected)
})

test('a statement is named from its second use on, and both memories are bounded', () => {
  const factsOf = createStatementFacts(true)
  expect(factsOf('select 1')).toMatchObject({ isRead: true, named: false })
  expect(factsOf('select 1')).toMatchObject({ isRead: true, named: true })
  for (let i = 0; i < 5000; i++) factsOf(`select ${i}, 0`)
  expect(factsOf('select 1').named).toBe(true)
  let named = 0
  for (let i = 0; i < 2000; i++) {
    factsOf(`select ${i}, 1`)
    if (factsOf(`select ${i}, 1`).named) named++
  }
  expect(named).toBeLessThan(500)
  const long = `select '${'x'.repeat(9000)}'`
  factsOf(long)
  expect(factsOf(long).named).toBe(false)
})

test('behind a pooler nothing is named', () => {
  const factsOf = createStatementFacts(false)
  factsOf('select 1')
  expect(factsOf('select 1').named).toBe(false)
})
