import { expect, test } from 'bun:test'
import { CONFIG_GUIDE } from './config-guide'
import { configKeysOf } from './config-schemas'
import { AGENT_TYPES } from './table'

/** Taken as the reference takes them, without effect, or explained for all types at once. */
const UNSAID = { llm: ['workflow'], others: ['agent_tools', 'require_approval'] }

test.each(AGENT_TYPES)('the guide explains every key that an agent of type %s knows, and no other', (type) => {
  const unsaid = type === 'llm' ? UNSAID.llm : UNSAID.others
  expect(Object.keys(CONFIG_GUIDE[type]).toSorted()).toEqual([...configKeysOf(type)].filter((key) => !unsaid.includes(key)).toSorted())
})
