/** Bounded, so that a text full of opening braces costs no more than its length times a constant. */
const PLACEHOLDER = /\{([A-Za-z0-9_.-]{1,128})\}/g

/**
 * Replaces each `{name}` once, from left to right: what is put in is not looked at again, and there is no format language (Python's reached
 * attributes of the value). Undefined leaves the text as it stands.
 */
export const replacePlaceholders = (template: string, lookup: (name: string) => string | undefined): string =>
  template.replace(PLACEHOLDER, (whole, name: string) => lookup(name) ?? whole)

/**
 * The model must not choose whom the tool talks to. Where the origin ends is for the URL's parser to say: it takes `https:/{x}` and `https:///{x}`
 * for `https://{x}`.
 */
export function hasPlaceholderInOrigin(endpoint: string): boolean {
  const [first = '', second = ''] = ['1', '2'].map((digit) => replacePlaceholders(endpoint, () => digit))
  return first !== endpoint && (!URL.canParse(first) || originOf(first) !== originOf(second))
}

function originOf(url: string): string {
  const { protocol, username, password, host } = new URL(url)
  return `${protocol}//${username}:${password}@${host}`
}
