/** What is known of a statement's text. */
export interface StatementFacts {
  /** Changes nothing, so it may be asked twice. */
  isRead: boolean
  /** Gets a name on the server, which then parses it once per connection. */
  named: boolean
  /** The shortest time it took of late, which tells a slow statement from a busy machine. Infinity: unknown. */
  bestMs: number
}

const MAX_KNOWN = 1000
const MAX_NAMED = 500
const MAX_NAMED_LENGTH = 8192

/**
 * Remembers statements by their text. Named are those that come a second time, up to a number: a text that comes once, such as one with a list of its
 * own length, would stay in every connection's memory for ever.
 */
export function createStatementFacts(naming: boolean) {
  const known = new Map<string, StatementFacts>()
  let namedCount = 0

  const forgetUnnamed = () => {
    for (const [text, { named }] of known) if (!named) known.delete(text)
  }

  return (text: string): StatementFacts => {
    const facts = known.get(text)
    if (!facts) {
      if (known.size >= MAX_KNOWN) forgetUnnamed()
      const fresh = { isRead: isRead(text), named: false, bestMs: Number.POSITIVE_INFINITY }
      known.set(text, fresh)
      return fresh
    }
    if (naming && !facts.named && namedCount < MAX_NAMED && text.length <= MAX_NAMED_LENGTH) {
      facts.named = true
      namedCount++
    }
    return facts
  }
}

/** What a SELECT can hold that changes something all the same. A word too many costs a retry, one too few an effect done twice. */
const EFFECT =
  /\b(insert|update|delete|merge|into|call|nextval|setval|set_config|lo_\w+|dblink\w*|pg_(notify|\w*advisory\w*|terminate_backend|cancel_backend|logical_emit_message))\b|\bfor\s+(no\s+key\s+update|update|share|key\s+share)\b/i

export const isRead = (text: string) => /^\s*(select|with|values|table|show)\b/i.test(text) && !EFFECT.test(text) && !/;\s*\S/.test(text)
