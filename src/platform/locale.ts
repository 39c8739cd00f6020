/** The languages that we speak, English first: it is the fallback. */
export const LOCALES = ['en', 'pt'] as const
export type Locale = (typeof LOCALES)[number]

const MAX_RANGES = 20

/** The one of our languages that an `Accept-Language` header likes best (RFC 9110, 12.5.4). */
export function localeFor(acceptLanguage: string | null): Locale {
  const ranges = (acceptLanguage ?? '').split(',', MAX_RANGES).map((range) => {
    const [, tag = '', q = '1'] = /^\s*([a-z]+)(?:-[a-z\d-]*)?\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?$/i.exec(range) ?? []
    return { locale: LOCALES.find((locale) => locale === tag.toLowerCase()), weight: Number(q) }
  })
  const liked = ranges.filter(({ weight }) => weight > 0).sort((a, b) => b.weight - a.weight)
  return liked.find(({ locale }) => locale !== undefined)?.locale ?? LOCALES[0]
}
