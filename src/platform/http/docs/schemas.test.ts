import { expect, test } from 'bun:test'
import { t } from 'elysia'
import { choice, PageQuery, Uuid } from '../schema'
import { createModels } from './models'
import type { Schema } from './openapi'
import { closed, tidySchema } from './schemas'

const tidy = (schema: unknown) => tidySchema(JSON.parse(JSON.stringify(schema)) as Schema)

test('digits in a query are shown as the integer that they stand for', () => {
  expect(tidy(PageQuery.limit)).toEqual({ type: 'integer', minimum: 1, maximum: 1000, default: 100 })
})

test('a union of words is an enum, and null is one of the types', () => {
  const word = (value: string) => t.Literal(value)
  expect(tidy(t.Union([word('a'), word('b')]))).toEqual({ type: 'string', enum: ['a', 'b'] })
  expect(tidy(t.Nullable(t.Union([word('a'), word('b')])))).toEqual({ type: ['string', 'null'], enum: ['a', 'b', null] })
  expect(tidy(t.Nullable(choice(['a', 'b'])))).toEqual({ type: ['string', 'null'], enum: ['a', 'b', null] })
  expect(tidy({ type: ['string', 'null'], enum: ['a'] })).toEqual({ type: ['string', 'null'], enum: ['a', null] })
  expect(tidy(t.Nullable(word('a')))).toEqual({ type: ['string', 'null'], enum: ['a', null] })
  expect(tidy(t.Nullable(t.Array(t.String())))).toEqual({ type: ['array', 'null'], items: { type: 'string' } })
  expect(tidy(t.Nullable(t.Union([t.String({ maxLength: 3 }), t.Integer()])))).toEqual({
    anyOf: [{ type: 'string', maxLength: 3 }, { type: 'integer' }, { type: 'null' }],
  })
})

test('messages for refusals stay inside, descriptions and readOnly are shown', () => {
  expect(tidy(choice(['a'], { error: 'Bad', description: 'Good' }))).toEqual({ type: 'string', enum: ['a'], description: 'Good' })
  expect(tidy(t.Object({ id: t.Unknown({ readOnly: true }) })).properties).toEqual({ id: { readOnly: true } })
  expect(tidy(Uuid).error).toBeUndefined()
})

test('a property may be called like a keyword', () => {
  const Odd = t.Object({ error: t.String(), title: t.String(), anyOf: t.String(), nullable: t.Boolean(), items: t.String() })
  const { refer, schemas } = createModels()
  expect(refer(tidy(Odd))).toEqual(tidy(Odd))
  expect(Object.keys(tidy(Odd).properties as object)).toEqual(['error', 'title', 'anyOf', 'nullable', 'items'])
  expect(schemas).toEqual({})
})

test('records are objects of anything named, and only request bodies are closed', () => {
  expect(tidy(t.Record(t.String(), t.Integer()))).toEqual({ type: 'object', additionalProperties: { type: 'integer' } })
  const Shut = t.Object({ a: t.String() }, { additionalProperties: false })
  expect(tidy(Shut).additionalProperties).toBeUndefined()
  expect(closed(tidy(Shut)).additionalProperties).toBe(false)
})

test('a schema with a title stands once among the models, also inside others and where null is possible', () => {
  const Leaf = t.Object({ a: t.String() }, { title: 'Leaf' })
  const Tree = t.Object({ first: Leaf, rest: t.Array(Leaf), last: t.Nullable(Leaf) }, { title: 'Tree' })
  const { refer, schemas } = createModels()
  const leaf = { $ref: '#/components/schemas/Leaf' }
  expect(refer(tidy(Tree))).toEqual({ $ref: '#/components/schemas/Tree' })
  expect(schemas.Tree?.properties).toEqual({ first: leaf, rest: { type: 'array', items: leaf }, last: { anyOf: [leaf, { type: 'null' }] } })
  expect(schemas.Leaf).toEqual({ title: 'Leaf', type: 'object', required: ['a'], properties: { a: { type: 'string' } } })
  expect(() => refer(tidy(t.Object({ b: t.String() }, { title: 'Leaf' })))).toThrow('Two different schemas have the title Leaf.')
})
