/** How a secret within a config is written: at rest sealed, and to whoever owns it masked, with the end of it to tell secrets apart. */

export const SEALED = '__sealed__:'
/** What its owner is shown, and sends back for "as it was". */
export const MASK = '__secret__:'

/** The same JSON with its texts changed, the names of its members left as they are. */
export function mapTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return change(value)
  if (value === null || typeof value !== 'object') return value
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, change))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapTexts(item, change)]))
}

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

/** Keys that show whose they are, JWTs and private keys. */
const SECRET =
  /\b(?:sk|pk|rk|evo|SG|xox[a-z]|gh[pousr]|glpat|hf)[-_.](?=[\w.-]{0,60}\d)[\w.-]{16,}|\b(?:AIza|AKIA|ASIA)[\w-]{12,}|\beyJ[\w-]{8,}\.[\w-]+|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----/i
/** Credentials within an address: by their names in its query, or before its host. What is in braces is yet to be filled in. */
const IN_ADDRESS =
  /([?&](?:[\w-]{0,40}(?:token|secret|password|api[-_]?key)|key|sig|signature)=)(?!\{)[^&#\s{]{4,}|(:\/\/[^/\s:@]{0,200}:)[^/\s@{]{1,200}(?=@)/gi

export const looksSecret = (text: string): boolean => SECRET.test(text) || text.search(IN_ADDRESS) !== -1

/** The text with `mask` in place of credentials within addresses. */
export const hideInAddresses = (text: string, mask: string): string =>
  text.includes('://') ? text.replace(IN_ADDRESS, (_, inQuery?: string, beforeHost?: string) => `${inQuery ?? beforeHost}${mask}`) : text
