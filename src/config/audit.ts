import type { Reader } from './reader'

export function readAudit(read: Reader) {
  read.group = 'Audit'
  return {
    retentionMonths: read.integer(
      'AUDIT_RETENTION_MONTHS',
      'Whole months of the audit log that are kept besides the current one; 0 keeps all.',
      0,
      0,
      1200,
    ),
  }
}
