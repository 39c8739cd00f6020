import { expect, test } from 'bun:test'
import { Value } from '@sinclair/typebox/value'
import { DomainError } from '~/platform/errors'
import { silentLog } from '~/platform/log'
import { createOutbound } from '~/platform/outbound'
import { checkHttpTool, HttpToolSpec } from './http-tool'
import { order, weather } from './testing'

test('what the frontend writes fits, empty and null included', () => {
  for (const spec of [
    weather,
    order,
    {
      name: 'x',
      method: 'GET',
      endpoint: 'https://x.example',
      headers: null,
      values: null,
      parameters: null,
      error_handling: null,
      id: 'kept',
    },
    { ...weather, parameters: {}, error_handling: { timeout: null, retry_count: 0, fallback_response: {} } },
  ])
    expect([...Value.Errors(HttpToolSpec, spec)]).toEqual([])
})

test('every text, number and list is bounded', () => {
  const long = 'x'.repeat(10_000)
  for (const wrong of [
    { name: '' },
    { name: long },
    { endpoint: long },
    { description: long },
    { headers: { a: long } },
    { headers: { [long]: 'a' } },
    { headers: { 'a\nb': 'a' } },
    { headers: Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`h${index}`, ''])) },
    { values: { a: { b: 'c' } } },
    { parameters: { query_params: { a: Array.from({ length: 300 }, () => 'x') } } },
    { parameters: { body_params: { a: { type: long } } } },
    { error_handling: { timeout: 1e9 } },
    { error_handling: { retry_count: -1 } },
    { error_handling: { fallback_response: { a: long } } },
  ])
    expect(Value.Check(HttpToolSpec, { ...weather, ...wrong })).toBe(false)
})

test('endpoint and headers are checked by the guard, placeholders apart', () => {
  const outbound = createOutbound({ allow: [], log: silentLog, defaults: { timeoutMs: 1000, maxBytes: 1000 } })
  const problem = (change: Partial<HttpToolSpec>) => {
    try {
      checkHttpTool({ ...weather, ...change }, outbound, '/config/custom_tools/http_tools/0')
    } catch (error) {
      return error instanceof DomainError ? [error.problem, error.errors?.[0]?.pointer] : error
    }
  }
  expect(problem({})).toBeUndefined()
  for (const endpoint of [
    'file:///etc/{city}',
    'http://127.0.0.1/{city}',
    'https://{city}.example.com/',
    'https:/{city}.example.com/',
    'https:///{city}.example.com/',
    'http://localhost:8000/',
    '{city}',
  ])
    expect(problem({ endpoint })).toEqual(['url-not-allowed', undefined])
  expect(problem({ headers: { Host: 'x' } })).toEqual(['validation-failed', '/config/custom_tools/http_tools/0/headers/Host'])
})
