import { looksSecret, mapTexts } from '~/platform/secret-texts'

const NAMES_SECRET =
  /pass(?:word|wd)?|secret|token|authori[sz]|credential|cookie|signature|api[-_]?key|(?:^|[^a-z])(?:auth|key|pwd)(?:$|[^a-z])/i
const SCHEME = /^(?:bearer|basic|digest|token|api-?key)\s+/i
/** Shorter ones stand in too many answers by chance. */
const MIN_LENGTH = 8

/** What lets somebody in, among headers, variables or values: told by its name or its looks, and without the scheme before it. */
export const secretsAmong = (named: Record<string, unknown>): string[] =>
  Object.entries(named).flatMap(([name, value]) => {
    if (typeof value !== 'string' || !(NAMES_SECRET.test(name) || looksSecret(value))) return []
    const secret = value.trim().replace(SCHEME, '')
    return secret.length < MIN_LENGTH ? [] : [secret]
  })

/** A remote side that repeats what it was called with, as pages for testing do, would tell it to the model, the event log and whoever chats. */
export const conceal = (answer: unknown, secrets: readonly string[]): unknown =>
  secrets.length === 0 ? answer : mapTexts(answer, (text) => secrets.reduce((left, secret) => left.replaceAll(secret, '***'), text))
