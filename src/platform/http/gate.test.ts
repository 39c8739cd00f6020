import { expect, test } from 'bun:test'
import { Elysia } from 'elysia'
import { silentLog } from '../log'
import { gate } from './gate'
import { originOf } from './origin'
import { problems } from './problems'

const ask = async (host: string | null, allowedHosts: string[], allowAddresses = false) => {
  const app = new Elysia()
    .use(gate({ allowedHosts, allowAddresses, trustedProxies: [] }))
    .use(problems({ apiUrl: 'http://localhost', log: silentLog }))
    .get('/', () => 'in')
  return (await app.handle(new Request('http://localhost/', { headers: host === null ? {} : { host } }))).status
}

test('a listed name is let in in every spelling of it, and no other', async () => {
  const hosts = ['api.example.com', 'localhost', '[::1]']
  for (const host of ['api.example.com', 'API.Example.COM', 'api.example.com.', 'api.example.com:8443', 'localhost:65535', '[::1]:8000'])
    expect(`${host} ${await ask(host, hosts)}`).toBe(`${host} 200`)
  for (const host of [
    'example.com',
    'xapi.example.com',
    'api.example.com.evil',
    'api.example.com:',
    'api.example.com:65536',
    'api.example.com:1a',
    '10.0.0.1',
  ])
    expect(`${host} ${await ask(host, hosts)}`).toBe(`${host} 421`)
  for (const host of [
    '',
    ' ',
    'a b',
    'a/b',
    'localhost/x',
    'u@localhost',
    'localhost, localhost',
    'localhost#',
    '-a',
    'a_b',
    '[::1',
    `${'a'.repeat(64)}.com`,
  ])
    expect(`${host} ${await ask(host, [...hosts, '*'])}`).toBe(`${host} 421`)
  expect(await ask(null, ['*'])).toBe(421)
})

test('wildcards and addresses are let in only where they are listed or allowed', async () => {
  expect(await ask('a.example.com', ['*.example.com'])).toBe(200)
  expect(await ask('example.com', ['*.example.com'])).toBe(421)
  expect(await ask('evilexample.com', ['*.example.com'])).toBe(421)
  expect(await ask('anything.at.all', ['*'])).toBe(200)
  for (const address of ['10.0.0.1:8000', '[2001:db8::1]']) {
    expect(await ask(address, ['localhost'], true)).toBe(200)
    expect(await ask(address, ['localhost'], false)).toBe(421)
  }
})

test('a trace id is taken from a good traceparent alone, and always told', async () => {
  const app = new Elysia()
    .use(gate({ allowedHosts: ['*'], allowAddresses: true, trustedProxies: [] }))
    .get('/', ({ request }) => originOf(request).traceId)
  const told = async (traceparent: string) => {
    const response = await app.handle(new Request('http://localhost/', { headers: { host: 'localhost', traceparent } }))
    const traceId = await response.text()
    expect(response.headers.get('x-request-id')).toBe(traceId)
    return traceId
  }
  const id = '4bf92f3577b34da6a3ce929d0e0e4736'
  expect(await told(`00-${id}-00f067aa0ba902b7-01`)).toBe(id)
  for (const bad of [`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`, `00-${id}-x-01`, `00-${id.toUpperCase()}-00f067aa0ba902b7-01`, 'x', id]) {
    expect(await told(bad)).toMatch(/^[0-9a-f]{32}$/)
    expect(await told(bad)).not.toBe(id)
  }
})
