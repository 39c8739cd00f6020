import { RE2JS } from 're2js'

const MAX_PATTERN_LENGTH = 2000

/**
 * A tenant's regular expression in RE2's dialect, which is searched for in time linear in the text: no input makes it run away.
 * @throws Error for what is no pattern there, look-around and back-references among it
 */
export function compilePattern(pattern: string, { ignoreCase = false }: { ignoreCase?: boolean } = {}): { test(text: string): boolean } {
  if (pattern.length > MAX_PATTERN_LENGTH) throw new Error(`longer than ${MAX_PATTERN_LENGTH} characters`)
  const compiled = RE2JS.compile(pattern, ignoreCase ? RE2JS.CASE_INSENSITIVE : 0)
  return { test: (text) => compiled.matcher(text).find() }
}
