import { expect } from 'bun:test'
import { type Conversation, converse, rawRequest } from '../../support/raw-http'
import type { TestApp } from '../../support/start-app'
import { all, outcomeOf, outcomes, type Row, withSurface } from './row'

const SMUGGLED = '/api/v1/health?smuggled'
const JSON_TYPE = 'Content-Type: application/json'
const smuggled = rawRequest('GET', SMUGGLED)

const told = ({ replies, closed }: Conversation) => `${replies.map(outcomeOf).join(' then ') || 'no answer'}, ${closed ? 'closed' : 'open'}`

/** Sent to a route that answers at once and to one that has to wait for its body. */
const attack = (app: TestApp, headerLines: string[], body: string) => async () => {
  const answers = new Set<string>()
  for (const [method, path] of [
    ['GET', '/livez'],
    ['POST', '/api/v1/auth/login'],
  ] as const)
    answers.add(told(await converse(app.url, rawRequest(method, path, [JSON_TYPE, ...headerLines], body))))
  return [...answers].join(' or ')
}

export const framing: Row[] = [
  {
    id: 'HTTP-01',
    guarantee: 'a body with two lengths is refused with its connection, and the request hidden in it is neither routed nor logged',
    async check(app) {
      const chunked = 'Transfer-Encoding: chunked'
      const inputs = {
        'length, then chunked': [['Content-Length: 5', chunked], '0\r\n\r\n'],
        'chunked, then length': [[chunked, 'Content-Length: 5'], '0\r\n\r\n'],
        'the whole attack as the body': [['Content-Length: 100', chunked], '0\r\n\r\n'],
        'unknown coding': [['Transfer-Encoding: xchunked'], '2\r\n{}\r\n0\r\n\r\n'],
        'chunked is not the last coding': [['Transfer-Encoding: chunked, identity'], '2\r\n{}\r\n0\r\n\r\n'],
        'chunked twice': [['Transfer-Encoding: chunked, chunked'], '2\r\n{}\r\n0\r\n\r\n'],
        'a control character before chunked': [['Transfer-Encoding: \x0bchunked'], '2\r\n{}\r\n0\r\n\r\n'],
        'a space before the colon': [['Transfer-Encoding : chunked'], '2\r\n{}\r\n0\r\n\r\n'],
        'a folded header': [['X-A: a', ' Content-Length: 0'], ''],
        'a bare carriage return': [['X-A: a\rContent-Length: 0'], ''],
        'a negative chunk': [[chunked], '-2\r\n{}\r\n0\r\n\r\n'],
        'a chunk longer than numbers go': [[chunked], 'ffffffffffffffffff\r\n{}\r\n0\r\n\r\n'],
      } satisfies Record<string, [string[], string]>
      const results = await outcomes(inputs, ([headerLines, body]) => attack(app, headerLines, body + smuggled)())
      expect(results).toEqual({
        ...all(inputs, '400 empty, closed'),
        // The head of a chunked request is in order, so GET /livez, which reads no body, has answered before its body is seen to be broken.
        'a negative chunk': expect.stringMatching(/400 empty, closed$/),
        'a chunk longer than numbers go': expect.stringMatching(/400 empty, closed$/),
      })
      expect(app.logged()).not.toContain('smuggled')
      // The proof that it would show: sent openly behind another request, it is answered and logged.
      const open = await converse(app.url, rawRequest('GET', '/livez') + rawRequest('GET', '/problems/smuggled-openly'), { replies: 2 })
      expect(told(open)).toBe('200 body then 404 not-found, open')
      expect(app.logged()).toContain('smuggled-openly')
    },
  },
  {
    id: 'HTTP-02',
    guarantee: 'a Content-Length that is not one plain number is refused with its connection',
    async check(app) {
      const values = ['+3', '-1', '0x3', '3, 3', '3,4', '', '3 3', '1e1', '99999999999999999999999', '18446744073709551619']
      const inputs: Record<string, string[]> = Object.fromEntries(values.map((value) => [value, [`Content-Length: ${value}`]]))
      inputs['two that differ'] = ['Content-Length: 2', 'Content-Length: 3']
      const results = await outcomes(inputs, (headerLines) => attack(app, headerLines, `{} ${smuggled}`)())
      expect(results).toEqual(all(inputs, '400 empty, closed'))
      expect(app.logged()).not.toContain('smuggled"')
    },
  },
  {
    id: 'HTTP-03',
    guarantee: 'a Host that is not ours is refused before routing, and no Host shifts the path that the router sees',
    async check(app) {
      const hosts = [
        'x',
        'ab',
        'xyz',
        '',
        'a/b',
        'a b',
        'evil.example',
        'localhost.evil.example',
        'localhost@evil',
        'localhost, evil',
        'localhost:99999',
      ]
      const inputs: Record<string, string[]> = Object.fromEntries(hosts.map((host) => [host || 'empty', [`Host: ${host}`]]))
      inputs['two, ours first'] = ['Host: localhost', 'Host: evil.example']
      inputs['two, ours last'] = ['Host: evil.example', 'Host: localhost']
      const token = `Authorization: Bearer ${app.admin.token}`
      for (const path of ['/zz/admin/users', '/zz/api/v1/admin/audit-logs', '/zz/livez', '/api/v1/admin/audit-logs']) {
        const results = await outcomes(inputs, async (lines) =>
          told(await converse(app.url, rawRequest('GET', path, [...lines, token]), { quietMs: 5 })),
        )
        expect({ path, ...results }).toEqual({ path, ...all(inputs, '421 misdirected-request, open') })
      }
      expect(told(await converse(app.url, 'GET /livez HTTP/1.1\r\n\r\n'))).toBe('400 empty, closed')
      expect(app.logged()).not.toMatch(/"path":"[^"]*(?:audit-logs|zz)[^"]*","status":(?!421)/)
      // A balancer's check: of a container by its address, as in production where that is no host of ours, or of HTTP/1.0.
      await withSurface(app, { config: { allowedHosts: ['api.example'], production: true } }, async ({ url }) => {
        const ask = async (request: string) => told(await converse(url, request, { quietMs: 5 }))
        for (const path of ['/livez', '/readyz']) {
          expect(await ask(rawRequest('GET', path, ['Host: 10.1.2.3:8000']))).toBe('200 body, open')
          expect(await ask(rawRequest('GET', path, ['Host: [fd00::7]:8000']))).toBe('200 body, open')
          expect(await ask(`GET ${path} HTTP/1.0\r\n\r\n`)).toStartWith('200 body')
          for (const host of ['', 'evil.example', 'x'])
            expect(await ask(rawRequest('GET', path, [`Host: ${host}`]))).toBe('421 misdirected-request, open')
        }
        for (const path of ['/', '/readyz/', '/livez/api/v1/admin/audit-logs', '/api/v1/admin/audit-logs']) {
          expect(await ask(rawRequest('GET', path, ['Host: 10.1.2.3', token]))).toBe('421 misdirected-request, open')
          expect(await ask(`GET ${path} HTTP/1.0\r\n${token}\r\n\r\n`)).toStartWith('421 misdirected-request')
        }
      })
      // Also where the operator lets such a name in.
      await withSurface(app, { config: { allowedHosts: ['x', 'ab', 'xyz'] } }, async ({ url }) => {
        const short = { x: 'x', ab: 'ab', xyz: 'xyz' }
        const get = (path: string) => async (host: string) => told(await converse(url, rawRequest('GET', path, [`Host: ${host}`, token])))
        expect(await outcomes(short, get('/zz/api/v1/admin/audit-logs'))).toEqual(all(short, '404 not-found, open'))
        expect(await outcomes(short, get('/api/v1/admin/audit-logs'))).toEqual(all(short, '200 body, open'))
      })
    },
  },
  {
    id: 'HTTP-14',
    guarantee: 'a head that is too large is refused with its connection, and the process goes on',
    async check(app) {
      const inputs = {
        'a header of 17 KiB': rawRequest('GET', '/livez', [`X-A: ${'a'.repeat(17 * 1024)}`]),
        'a URL of 17 KiB': rawRequest('GET', `/livez?a=${'a'.repeat(17 * 1024)}`),
        '300 headers': rawRequest(
          'GET',
          '/livez',
          Array.from({ length: 300 }, (_, i) => `X-${i}: a`),
        ),
      }
      const results = await outcomes(inputs, async (bytes) => told(await converse(app.url, bytes)))
      expect(results).toEqual(all(inputs, '431 empty, closed'))
      expect(told(await converse(app.url, rawRequest('GET', '/livez', [`X-A: ${'a'.repeat(10 * 1024)}`])))).toBe('200 body, open')
    },
  },
]
