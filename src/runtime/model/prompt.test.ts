import { expect, test } from 'bun:test'
import { toPrompt } from './prompt'

const model = 'openai/gpt-4o'

test('an image stays a file, and a text file becomes text, which every provider reads', () => {
  const prompt = toPrompt({
    model,
    system: undefined,
    messages: [
      {
        role: 'user',
        parts: [
          { type: 'text', text: 'What are these?' },
          { type: 'file', mediaType: 'image/png', data: 'iVBORw0KGgo=', filename: 'a.png' },
          { type: 'file', mediaType: 'text/csv', data: Buffer.from('name\nÅsa').toString('base64'), filename: 'people.csv' },
        ],
      },
    ],
  })
  expect(prompt).toEqual([
    {
      role: 'user',
      content: [
        { type: 'text', text: 'What are these?' },
        { type: 'file', mediaType: 'image/png', data: { type: 'data', data: 'iVBORw0KGgo=' }, filename: 'a.png' },
        { type: 'text', text: 'File people.csv:\nname\nÅsa' },
      ],
    },
  ])
})

test('what providers refuse as empty is left out', () => {
  const prompt = toPrompt({
    model,
    system: '',
    messages: [
      { role: 'user', parts: [{ type: 'text', text: '' }] },
      { role: 'assistant', parts: [] },
      { role: 'user', parts: [{ type: 'text', text: 'hi' }] },
    ],
  })
  expect(prompt).toEqual([{ role: 'user', content: [{ type: 'text', text: 'hi' }] }])
})

test('a result keeps its kind: text, JSON, nothing, an error', () => {
  const results = ['text', { a: 1 }, undefined, 'broken', { code: 1 }]
  const [message] = toPrompt({
    model,
    system: undefined,
    messages: [
      {
        role: 'tool',
        parts: results.map((result, index) => ({ type: 'tool-result', callId: `${index}`, name: 't', result, isError: index > 2 })),
      },
    ],
  })
  expect(message?.role === 'tool' && message.content.map((part) => ('output' in part ? part.output : undefined))).toEqual([
    { type: 'text', value: 'text' },
    { type: 'json', value: { a: 1 } },
    { type: 'json', value: null },
    { type: 'error-text', value: 'broken' },
    { type: 'error-json', value: { code: 1 } },
  ])
})
