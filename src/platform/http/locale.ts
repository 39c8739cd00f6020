import { type Locale, localeFor } from '../locale'

/** The language that a caller who has no account yet reads. */
export const localeOf = (request: Request): Locale => localeFor(request.headers.get('accept-language'))
