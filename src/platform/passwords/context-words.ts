const PRODUCT = 'evoai'
/** A shorter word is in too many passwords by chance. */
const MIN_WORD = 4
/** What a guesser adds to a name: years, exclamation marks. */
const MIN_REST = 8

/**
 * Whether a password is made of what a guesser knows about its owner: it contains the product's name, the name of the organisation or the part of the
 * address before the `@`; or little is left of it without the single words of these.
 */
export function namesItself(password: string, { email, names }: { email: string; names: readonly (string | null)[] }): boolean {
  const squeezed = squeeze(password)
  const texts = [PRODUCT, email.split('@')[0] ?? '', ...names.filter((name) => name !== null)]
  if (texts.map(squeeze).some((text) => text.length >= MIN_WORD && squeezed.includes(text))) return true
  const words = texts.flatMap((text) => text.split(/[^\p{L}\p{N}]+/u).map(squeeze)).filter((word) => word.length >= MIN_WORD)
  const rest = words.reduce((left, word) => left.replaceAll(word, ''), squeezed)
  return rest !== squeezed && rest.length < MIN_REST
}

/** Letters and digits alone, in one case: `Evo-AI` is `evoai`. */
const squeeze = (text: string) =>
  text
    .normalize('NFKC')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]/gu, '')
