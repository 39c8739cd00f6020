import { expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { compactVerify } from 'jose'
import { createTokens, isCanonicalJws } from '~/platform/tokens'

const tokens = createTokens({ secrets: ['Zk3v9q0Yx7Lr2Wn8Tb5Hc1Md6Pf4Gs0Ja'], issuer: 'us', audience: 'us', lifetimeSeconds: 60 })

/** C2SP/wycheproof, `testvectors_v1/json_web_signature_test.json` (Apache-2.0); not part of this repository. */
const vectors = process.env.WYCHEPROOF_JWS ?? ''
const hasVectors = vectors !== '' && existsSync(vectors)

test.skipIf(!hasVectors)(
  `JWT-08: Wycheproof's verdicts are ours${hasVectors ? '' : ' (skipped: WYCHEPROOF_JWS names no file)'}`,
  async () => {
    const { testGroups } = (await Bun.file(vectors).json()) as { testGroups: WycheproofGroup[] }
    const counted = { valid: 0, invalid: 0, 'valid but not spelt canonically': 0, 'called both': 0 }
    const good = new Set(testGroups.flatMap(({ tests }) => tests.filter(({ result }) => result === 'valid').map(({ jws }) => jws)))
    for (const { private: given, public: shared, tests } of testGroups) {
      const key = given ?? shared
      for (const { tcId, jws, result } of tests) {
        if (typeof jws !== 'string') continue
        // Whatever the key, none of them is one of our tokens.
        await expect(tokens.verify(jws)).rejects.toMatchObject({ problem: 'invalid-token' })
        if (key?.kty !== 'oct' || key.alg !== 'HS256') continue
        const secret = Buffer.from(key.k ?? '', 'base64url')
        const verified = await compactVerify(jws, secret, { algorithms: ['HS256'] }).then(
          () => true,
          () => false,
        )
        const accepted = isCanonicalJws(jws) && verified
        if (result === 'valid' && !isCanonicalJws(jws)) counted['valid but not spelt canonically']++
        // 367 and 370 lost the padding that they are about, and are 357 to the letter.
        else if (result === 'invalid' && good.has(jws)) counted['called both']++
        else {
          expect(`${tcId} ${accepted}`).toBe(`${tcId} ${result === 'valid'}`)
          counted[result === 'valid' ? 'valid' : 'invalid']++
        }
      }
    }
    console.log(`JWT-08: ${JSON.stringify(counted)}`)
    expect(counted.valid).toBeGreaterThan(0)
    expect(counted.invalid).toBeGreaterThan(20)
  },
)

interface WycheproofGroup {
  private?: { kty: string; alg?: string; k?: string }
  public?: { kty: string; alg?: string; k?: string }
  tests: { tcId: number; jws: unknown; result: 'valid' | 'invalid' | 'acceptable' }[]
}
