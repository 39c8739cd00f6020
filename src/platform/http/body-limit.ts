import { DomainError } from '../errors'

export interface BodyLimits {
  maxBodyBytes: number
  /** Paths that carry files, with their own limit. */
  uploads: { paths: RegExp; maxBytes: number }
}

export const bodyLimit = ({ maxBodyBytes, uploads }: BodyLimits, path: string) =>
  uploads.paths.test(path) ? uploads.maxBytes : maxBodyBytes

/** Closes the connection: else the server would have to take the rest of the body before it can be used again. */
export const tooLarge = (detail = 'The body is larger than this route takes.') =>
  new DomainError('payload-too-large', detail, { headers: { connection: 'close' } })
