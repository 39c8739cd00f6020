/**
 * From C2SP/wycheproof (Apache-2.0), testvectors_v1/ecdsa_secp256r1_sha256_test.json: the cases 1 to 18, key and message in hex.
 * Only whether a signature is accepted is asked here.
 */
export interface EcdsaCase {
  id: number
  about: string
  msg: string
  sig: string
  valid: boolean
}

const R = '02202ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18'
const RS = `${R}022100b329f479a2bbd0a5c384ee1493b1f5186a87139cac5df4087c134b49156847db`
const MSG = '313233343030'
const odd = (id: number, about: string, sig: string): EcdsaCase => ({ id, about, msg: MSG, sig, valid: false })
const good = (id: number, about: string, msg: string, sig: string): EcdsaCase => ({ id, about, msg, sig, valid: true })

export const ECDSA_CASES: { key: string; cases: EcdsaCase[] }[] = [
  {
    key: '3059301306072a8648ce3d020106082a8648ce3d0301070342000404aaec73635726f213fb8a9e64da3b8632e41495a944d0045b522eba7240fad587d9315798aaa3a5ba01775787ced05eaaf7b4e09fc81d6d1aa546e8365d525d',
    cases: [
      good(
        1,
        'pseudorandom signature',
        '',
        '3045022100b292a619339f6e567a305c951c0dcbcc42d16e47f219f9e98e76e09d8770b34a02200177e60492c5a8242f76f07bfe3661bde59ec2a17ce5bd2dab2abebdf89a62e2',
      ),
      good(
        2,
        'pseudorandom signature',
        '4d7367',
        '30450220530bd6b0c9af2d69ba897f6b5fb59695cfbf33afe66dbadcf5b8d2a2a6538e23022100d85e489cb7a161fd55ededcedbf4cc0c0987e3e3f0f242cae934c72caa3f43e9',
      ),
      good(
        3,
        'pseudorandom signature',
        MSG,
        '3046022100a8ea150cb80125d7381c4c1f1da8e9de2711f9917060406a73d7904519e51388022100f3ab9fa68bd47973a73b2d40480c2ba50c22c9d76ec217257288293285449b86',
      ),
      good(
        4,
        'pseudorandom signature',
        '0000000000000000000000000000000000000000',
        '3045022100986e65933ef2ed4ee5aada139f52b70539aaf63f00a91f29c69178490d57fb7102203dafedfb8da6189d372308cbf1489bbbdabf0c0217d1c0ff0f701aaa7a694b9c',
      ),
    ],
  },
  {
    key: '3059301306072a8648ce3d020106082a8648ce3d030107034200042927b10512bae3eddcfe467828128bad2903269919f7086069c8c4df6c732838c7787964eaac00e5921fb1498a60f4606766b3d9685001558d1a974e7341513e',
    cases: [
      good(5, 'signature malleability', MSG, `3044${R}02204cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76`),
      odd(6, 'ASN encoding of s misses leading 0', `3044${R}0220b329f479a2bbd0a5c384ee1493b1f5186a87139cac5df4087c134b49156847db`),
      good(7, 'valid', MSG, `3045${RS}`),
      odd(8, 'length of sequence [r, s] uses long form encoding', `308145${RS}`),
      odd(9, 'length of sequence [r, s] contains a leading 0', `30820045${RS}`),
      odd(10, 'length of sequence [r, s] uses 70 instead of 69', `3046${RS}`),
      odd(11, 'length of sequence [r, s] uses 68 instead of 69', `3044${RS}`),
      odd(12, 'uint32 overflow in length of sequence [r, s]', `30850100000045${RS}`),
      odd(13, 'uint64 overflow in length of sequence [r, s]', `3089010000000000000045${RS}`),
      odd(14, 'length of sequence [r, s] = 2**31 - 1', `30847fffffff${RS}`),
      odd(15, 'length of sequence [r, s] = 2**31', `308480000000${RS}`),
      odd(16, 'length of sequence [r, s] = 2**32 - 1', `3084ffffffff${RS}`),
      odd(17, 'length of sequence [r, s] = 2**40 - 1', `3085ffffffffff${RS}`),
      odd(18, 'length of sequence [r, s] = 2**64 - 1', `3088ffffffffffffffff${RS}`),
    ],
  },
]
