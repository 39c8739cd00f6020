import { expect, test } from 'bun:test'
import { isFernetKey, openFernet } from './fernet'

/** The vectors that github.com/fernet/spec publishes in verify.json and invalid.json. */
const KEY = 'cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4='
const VALID = 'gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=='
const seconds = (time: string) => Date.parse(time) / 1000
const NOW = seconds('1985-10-26T01:20:01-07:00')

const INVALID = {
  'incorrect mac': 'gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykQUFBQUFBQUFBQQ==',
  'too short': 'gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPA==',
  'invalid base64': '%%%%%%%%%%%%%AECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==',
  'payload size not multiple of block size':
    'gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPOm73QeoCk9uGib28Xe5vz6oxq5nmxbx_v7mrfyudzUm',
  'payload padding error': 'gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0ODz4LEpdELGQAad7aNEHbf-JkLPIpuiYRLQ3RtXatOYREu2FWke6CnJNYIbkuKNqOhw==',
  'far-future timestamp': 'gAAAAAAdwStRAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAnja1xKYyhd-Y6mSkTOyTGJmw2Xc2a6kBd-iX9b_qXQcw==',
  'incorrect IV': 'gAAAAAAdwJ6xBQECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAkLhFLHpGtDBRLRTZeUfWgHSv49TF2AUEZ1TIvcZjK1zQ==',
}
const EXPIRED = 'gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q=='

test('KEY-05: the published valid token opens', () => {
  expect(openFernet(KEY, VALID, { nowSeconds: NOW, ttlSeconds: 60 })).toBe('hello')
  expect(openFernet(KEY, VALID)).toBe('hello')
})

for (const [fault, token] of Object.entries(INVALID))
  test(`KEY-05: refused: ${fault}`, () => {
    expect(openFernet(KEY, token, { nowSeconds: NOW, ttlSeconds: 60 })).toBeUndefined()
  })

test('KEY-05: refused: expired TTL; the same token opens for who asks for no age', () => {
  expect(openFernet(KEY, EXPIRED, { nowSeconds: seconds('1985-10-26T01:21:31-07:00'), ttlSeconds: 60 })).toBeUndefined()
  expect(openFernet(KEY, EXPIRED)).toBe('')
})

test('another key opens nothing, and what is no key is told from one', () => {
  const other = Buffer.alloc(32, 7).toString('base64url')
  expect(isFernetKey(other)).toBe(true)
  expect(openFernet(other, VALID)).toBeUndefined()
  expect(isFernetKey('your-encryption-key')).toBe(false)
})
