/** How a secret within a config is written: at rest sealed, and to whoever owns it masked, with the end of it to tell secrets apart. */

export const SEALED = '__sealed__:'
/** What its owner is shown, and sends back for "as it was". */
export const MASK = '__secret__:'

/** The end of a longer secret. */
const hintOf = (secret: string) => (secret.length >= 12 ? secret.slice(-4).replaceAll(':', '.') : '')

export const sealedText = (secret: string, sealed: string): string => `${SEALED}${hintOf(secret)}:${sealed}`

/** The ciphertext within; undefined for a text in clear. */
export const ciphertextOf = (text: string): string | undefined =>
  text.startsWith(SEALED) ? text.slice(text.indexOf(':', SEALED.length) + 1) : undefined

export function maskOf(text: string): string {
  if (text.startsWith(MASK)) return text
  return `${MASK}${text.startsWith(SEALED) ? text.slice(SEALED.length, text.indexOf(':', SEALED.length)) : hintOf(text)}`
}
