import { expect, test } from 'bun:test'
import { crc32 } from 'node:zlib'
import { createMachineKey, hashMachineKey, isMachineKey, subjectOfKeyHash } from './key'

test('a key shows what it is, and one wrong letter is noticed', () => {
  const key = createMachineKey()
  expect(key).toMatch(/^evo_mk_[0-9A-Za-z]{46}$/)
  expect(isMachineKey(key)).toBe(true)
  for (let index = 0; index < key.length; index++) {
    const mistyped = `${key.slice(0, index)}${key[index] === 'x' ? 'y' : 'x'}${key.slice(index + 1)}`
    expect([mistyped, isMachineKey(mistyped)]).toEqual([mistyped, false])
  }
  for (const odd of ['', 'evo_mk_', `${key} `, `${key}\n`, key.slice(1), key.toUpperCase(), `${key}0`])
    expect(isMachineKey(odd)).toBe(false)
})

test('the checksum is the CRC-32 that everybody has', () => {
  expect(crc32('0'.repeat(40))).toBe(2_520_759_182) // 2kaqcA in base 62
  expect(isMachineKey(`evo_mk_${'0'.repeat(40)}2kaqcA`)).toBe(true)
})

test('no two keys are the same, and their subjects tell nothing', () => {
  const keys = Array.from({ length: 1000 }, createMachineKey)
  expect(new Set(keys).size).toBe(1000)
  expect(new Set(keys.flatMap((key) => [...key.slice(7, 47)])).size).toBe(62)
  const subject = subjectOfKeyHash(hashMachineKey(keys[0] ?? ''))
  expect(subject).toMatch(/^key:[0-9a-f]{32}$/)
})
