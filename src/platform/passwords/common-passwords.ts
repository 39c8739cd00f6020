let list: Promise<ReadonlySet<string>> | undefined

/**
 * Whether it is one of some 49,000 passwords that leaked most often, in whatever case, or made by a rule that these are made by. The list is read when it
 * is first needed: it takes 20 MB. It leaves out what its makers find by rules, which is much of what is tried first: `11111111`, `12341234`, `87654321`.
 */
export async function isCommon(password: string): Promise<boolean> {
  list ??= import('@zxcvbn-ts/language-common').then(({ dictionary }) => new Set([...dictionary['passwords-common'], ...LEFT_OUT]))
  const common = await list
  const text = password.toLowerCase()
  return common.has(text) || common.has([...text].reverse().join('')) || repeatsItself(text) || countsOn(text)
}

/** Of the 10,000 that leaked most often, those of eight characters and more that neither the list nor a rule has. */
const LEFT_OUT = ['lkjhgfds', 'qwertzui', 'hotmail0', 'hotmail1', 'homepage-', 'fingerig', 'sentnece', 'films+pic+galeries']

/** One to four letters or digits over and over, the last time perhaps not to the end: `aaaaaaaa`, `69696969`, `123123123`, `qwerqwerq`. */
const repeatsItself = (text: string) =>
  /^[a-z0-9]+$/.test(text) && [1, 2, 3, 4].some((length) => text.length >= 2 * length && text.slice(length) === text.slice(0, -length))

/** Up or down by one from each letter or digit to the next, with the nought before the one or behind the nine: `abcdefgh`, `98765432`, `67890123`. */
function countsOn(text: string): boolean {
  if (!/^(?:[a-z]+|[0-9]+)$/.test(text)) return false
  const size = /[a-z]/.test(text) ? 26 : 10
  const steps = new Set([...text].slice(1).map((char, i) => (char.charCodeAt(0) - text.charCodeAt(i) + size) % size))
  return steps.size === 1 && (steps.has(1) || steps.has(size - 1))
}
