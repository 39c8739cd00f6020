/** Of any password, counted by code points. */
export const MAX_PASSWORD_LENGTH = 128
export const MAX_PASSWORD_BYTES = 512
