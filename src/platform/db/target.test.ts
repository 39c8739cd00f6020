import { describe, expect, test } from 'bun:test'
import { parseTarget, type TlsSetting } from './target'

const addresses = (url: string, tls: TlsSetting = 'auto') =>
  parseTarget(url, tls).addresses.map(({ host, port, tls: { mode, verify } }) => `${host} ${port ?? '-'} ${mode} ${verify}`)

describe('a database URL', () => {
  test('gives every part, decoded, with the usual defaults', () => {
    expect(parseTarget('postgres://us%40er:p%2Fw%3A@db.example/name%20x?application_name=a', 'off')).toEqual({
      addresses: [{ host: 'db.example', port: 5432, tls: { mode: 'off', verify: 'nothing' } }],
      user: 'us@er',
      password: 'p/w:',
      database: 'name x',
      parameters: { application_name: 'a' },
      wants: 'any',
    })
    expect(parseTarget('postgresql://', 'auto')).toMatchObject({ addresses: [{ host: 'localhost', port: 5432 }], user: undefined })
  })

  test('names several hosts, IPv6 and Unix sockets', () => {
    expect(addresses('postgres://u@a:1,b,[2001:db8::1]:3/d', 'off')).toEqual([
      'a 1 off nothing',
      'b 5432 off nothing',
      '2001:db8::1 3 off nothing',
    ])
    expect(addresses('postgres://u@/d?host=/run/pg&port=6000', 'require')).toEqual(['/run/pg/.s.PGSQL.6000 - off nothing'])
    expect(addresses('postgres://u@%2Frun%2Fpg/d')).toEqual(['/run/pg/.s.PGSQL.5432 - off nothing'])
  })

  test('is encrypted unless the host is this one, and its sslmode wins over the setting', () => {
    expect(addresses('postgres://127.0.0.1,localhost,[::1],db.example/d')).toEqual([
      '127.0.0.1 5432 off nothing',
      'localhost 5432 off nothing',
      '::1 5432 off nothing',
      'db.example 5432 require nothing',
    ])
    expect(addresses('postgres://127.evil.example/d')).toEqual(['127.evil.example 5432 require nothing'])
    expect(addresses('postgres://h/d', 'verify')).toEqual(['h 5432 require authority-and-name'])
    expect(addresses('postgres://h/d?sslmode=disable', 'verify')).toEqual(['h 5432 off nothing'])
    expect(addresses('postgres://127.0.0.1/d?sslmode=verify-full', 'off')).toEqual(['127.0.0.1 5432 require authority-and-name'])
    expect(addresses('postgres://h/d?sslmode=verify-full&sslrootcert=system')).toEqual(['h 5432 require authority-and-name'])
  })

  test('keeps settings of other clients from the server', () => {
    const { parameters } = parseTarget('postgres://h/d?channel_binding=require&pgbouncer=true&connect_timeout=3&options=-cx%3D1', 'auto')
    expect(parameters).toEqual({ options: '-cx=1' })
  })

  test.each([
    'mysql://secret@h/d',
    'postgres://u:secret@h:99999/d',
    'postgres://u:secret@h:x/d',
    'postgres://u:secret@h/d?sslmode=maybe',
    'postgres://u:secret@h/d?target_session_attrs=best',
  ])('that makes no sense is refused without being repeated: %s', (url) => {
    expect(() => parseTarget(url, 'auto')).toThrow(/^(?!.*secret)/)
  })
})
