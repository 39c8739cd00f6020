import { expect, test } from 'bun:test'
import { DomainError } from '~/platform/errors'
import { isKnownModel, parseModelId } from './providers'

test.each([
  ['openai/gpt-4o', 'openai', 'gpt-4o'],
  ['openai/ft:gpt-4o-mini:acme::abc123', 'openai', 'ft:gpt-4o-mini:acme::abc123'],
  ['gemini/gemini-2.5-flash', 'gemini', 'gemini-2.5-flash'],
  ['google/gemini-2.5-flash', 'google', 'gemini-2.5-flash'],
  ['openrouter/meta-llama/llama-3.3-70b:free', 'openrouter', 'meta-llama/llama-3.3-70b:free'],
  ['together_ai/Qwen/Qwen2.5-72B-Instruct', 'together_ai', 'Qwen/Qwen2.5-72B-Instruct'],
  ['openai-compatible/@cf/meta/llama', 'openai-compatible', '@cf/meta/llama'],
  ['demo/echo', 'demo', 'echo'],
])('%s is split at its first slash', (id, provider, model) => {
  expect(parseModelId(id)).toEqual({ provider, model })
  expect(isKnownModel(id)).toBe(true)
})

test.each([
  '',
  '/',
  'gpt-4o',
  '/gpt-4o',
  'openai/',
  'acme/model',
  'OpenAI/gpt-4o',
  'constructor/x',
  '__proto__/x',
  'demo/other',
  'gemini/../../v1/files',
  'gemini/models/../x',
  'gemini//x',
  'gemini/x?key=1',
  'gemini/x#y',
  'gemini/%2e%2e/x',
  'openai/a b',
  'openai/a\nb',
  `openai/${'a'.repeat(201)}`,
])('%j is refused at /model, without being repeated', (id) => {
  expect(isKnownModel(id)).toBe(false)
  try {
    parseModelId(id)
    expect.unreachable()
  } catch (error) {
    expect(error).toBeInstanceOf(DomainError)
    expect(error).toMatchObject({ problem: 'validation-failed', errors: [{ pointer: '/model' }] })
    if (id.length > 15) expect((error as DomainError).message).not.toContain(id)
  }
})
