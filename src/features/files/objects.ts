import { S3Client } from 'bun'
import { DomainError } from '~/platform/errors'

/** An S3-compatible store, for the bytes of files. */
export interface Objects {
  /** @throws DomainError `dependency-unavailable` */
  put(key: string, bytes: Uint8Array, contentType: string): Promise<void>
  /** @throws DomainError `dependency-unavailable` */
  get(key: string): Promise<Buffer>
  /** Also for one that is gone. @throws DomainError `dependency-unavailable` */
  remove(key: string): Promise<void>
}

export interface ObjectsOptions {
  endpoint: string | undefined
  bucket: string
  region: string
  accessKeyId: string
  secretAccessKey: string
  timeoutMs: number
}

export function createObjects({ timeoutMs, endpoint, ...options }: ObjectsOptions): Objects {
  const client = new S3Client({ ...options, ...(endpoint === undefined ? {} : { endpoint }) })

  /** The client has no deadline of its own; what comes after it is of no use to anybody. */
  const bounded = async <T>(work: Promise<T>): Promise<T> => {
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(() => late.reject(new Error('the object store did not answer in time')), timeoutMs)
    try {
      return await Promise.race([work, late.promise])
    } catch (cause) {
      throw new DomainError('dependency-unavailable', 'The store of files is not available.', { cause, retryAfterSeconds: 5 })
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    put: async (key, bytes, type) => {
      await bounded(client.write(key, bytes, { type }))
    },
    get: async (key) => Buffer.from(await bounded(client.file(key).arrayBuffer())),
    remove: (key) => bounded(client.delete(key)),
  }
}
