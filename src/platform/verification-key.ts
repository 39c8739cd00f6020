import { createPublicKey, type KeyObject } from 'node:crypto'

/** A key that checks ECDSA signatures, as providers show theirs: base64 of an X.509 public key on P-256. Undefined for anything else. */
export function readVerificationKey(base64: string): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'spki' })
    return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? key : undefined
  } catch {
    return undefined // not a key at all
  }
}
