/** Ids that end users' systems may choose; the web frontend splits session ids at an underscore. */
export const EXTERNAL_ID = /^[A-Za-z0-9.:@+-]{1,128}$/
export const EXTERNAL_ID_RULE = 'Must have 1 to 128 characters of A-Z a-z 0-9 . : @ + -'
