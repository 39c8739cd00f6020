import { expect, test } from 'bun:test'
import { DEFECTS } from './defects'
import { THREATS } from './threats'
import { defectsIn, threatsIn, titles } from './titles'

const all = await titles()

/** What no test of a minute can show, with what shows it instead. */
const ELSEWHERE: Record<string, string> = {}

test('every defect of the server before has a test against it', () => {
  const held = new Set(all.flatMap(defectsIn))
  expect(Object.entries(DEFECTS).filter(([number]) => !held.has(Number(number)))).toEqual([])
  expect([...held].filter((number) => DEFECTS[number] === undefined)).toEqual([])
})

test('every threat and fault has a test against it', () => {
  const held = new Set(all.flatMap(threatsIn))
  expect(Object.entries(THREATS).filter(([id]) => !held.has(id) && ELSEWHERE[id] === undefined)).toEqual([])
  expect([...held].filter((id) => ELSEWHERE[id] !== undefined)).toEqual([])
  expect([...held].filter((id) => THREATS[id] === undefined)).toEqual([])
})

test('a title is read as it is meant', () => {
  expect(defectsIn('ACL-05, defects 25, 27, 28: what another client has')).toEqual([25, 27, 28])
  expect(defectsIn('a card; defect 7: the extended one (defect 8)')).toEqual([7, 8])
  expect(defectsIn('no 12 defects of 3')).toEqual([])
  expect(threatsIn('F-01, F-03: gone; HTTP-1 and SSRF-100 are none')).toEqual(['F-01', 'F-03'])
})
