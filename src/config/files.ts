import type { Reader } from './reader'

export function readFiles(read: Reader) {
  read.group = 'Files'
  const maxBytes = read.integer('MAX_FILE_BYTES', 'Largest file of a conversation.', 10_485_760, 1024, 104_857_600)
  const bucket = read.optional(
    'S3_BUCKET',
    'Bucket of an S3-compatible store for the files of conversations. Absent: they are kept in PostgreSQL.',
  )
  const objects = {
    endpoint: read.url('S3_ENDPOINT', 'Address of that store.', undefined, { shown: "AWS's" }),
    region: read.text('S3_REGION', 'Its region.', 'us-east-1'),
    accessKeyId: read.optional('S3_ACCESS_KEY_ID', 'Access key.', { secret: true }) ?? '',
    secretAccessKey: read.optional('S3_SECRET_ACCESS_KEY', 'Its secret.', { secret: true }) ?? '',
    timeoutMs: read.integer('S3_TIMEOUT_MS', 'Deadline of one call to it.', 10_000, 100, 300_000),
  }
  if (bucket !== undefined && (objects.accessKeyId === '' || objects.secretAccessKey === ''))
    read.faults.push('S3_BUCKET needs S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY')
  return { maxBytes, objects: bucket === undefined ? undefined : { bucket, ...objects } }
}
