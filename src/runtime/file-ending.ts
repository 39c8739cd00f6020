const ENDINGS: Record<string, string> = { 'image/jpeg': 'jpg', 'image/svg+xml': 'svg', 'audio/mpeg': 'mp3', 'text/plain': 'txt' }

/** What a file of this type is called behind the dot, when nobody has named it. */
export const endingOf = (mediaType: string): string => ENDINGS[mediaType] ?? /\/(?:x-)?([a-z0-9]{1,8})$/.exec(mediaType)?.[1] ?? 'bin'
