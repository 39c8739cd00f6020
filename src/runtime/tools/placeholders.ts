/** Bounded, so that a text full of opening braces costs no more than its length times a constant. */
const PLACEHOLDER = /\{([A-Za-z0-9_.-]{1,128})\}/g

/**
 * Replaces each `{name}` once, from left to right: what is put in is not looked at again, and there is no format language (Python's reached
 * attributes of the value). Undefined leaves the text as it stands.
 */
export const replacePlaceholders = (template: string, lookup: (name: string) => string | undefined): string =>
  template.replace(PLACEHOLDER, (whole, name: string) => lookup(name) ?? whole)

/** The model must not choose whom the tool talks to. */
export const hasPlaceholderInOrigin = (endpoint: string): boolean => (/^[^/]*\/\/[^/?#]*/.exec(endpoint)?.[0] ?? '').includes('{')
