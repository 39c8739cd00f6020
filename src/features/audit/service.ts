import { authorize } from '~/platform/access'
import type { Db } from '~/platform/db'
import { invalid } from '~/platform/errors'
import { type PartlyListed, type Position, pageFrom } from '~/platform/keyset'
import type { Principal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import { type AuditPage, countAuditLogs, erasePersonal, listAuditLogs, listForExport } from './queries/read'
import type { AuditFilter, AuditLog, Erasure, Verification } from './schema'
import { type VerifyOptions, verifyChain } from './verify'

export type AuditService = ReturnType<typeof createAuditService>

const EXPORT_PAGE = 500

export const createAuditService = ({ db, write }: { db: Db; write: Write }) => ({
  /** Of one client, for its owners, or, without `client_id`, of all, for platform admins. Newest first. */
  async list(
    principal: Principal,
    filter: AuditFilter & { client_id?: string | undefined },
    page: AuditPage,
  ): Promise<PartlyListed<AuditLog>> {
    authorizeLog(principal, filter.client_id)
    const [rows, total] = await Promise.all([listAuditLogs(db, filter, page), countAuditLogs(db, filter)])
    return { ...pageFrom(rows, page.limit), total }
  },

  /** The rows as lines of JSON, each with its place in the chain; a page at a time, as fast as they are read. The export itself is audited. */
  async export(principal: Principal, filter: AuditFilter & { client_id?: string | undefined }): Promise<AsyncGenerator<string>> {
    authorizeLog(principal, filter.client_id)
    const { client_id: clientId = null, ...details } = filter
    await write(principal, async ({ audit }) => audit({ action: 'export', resourceType: 'audit_log', resourceId: null, clientId, details }))
    return lines(db, filter)
  },

  verify(principal: Principal, options: VerifyOptions): Promise<Verification> {
    authorize(principal, 'read', { kind: 'platform' })
    return verifyChain(db, options)
  },

  /** Takes the personal part (addresses, details, what it was about) out of rows. The chains stay whole, and the erasure is audited. */
  erase(principal: Principal, about: Erasure): Promise<{ erased: number }> {
    authorize(principal, 'write', { kind: 'platform' })
    const { user_id, resource_type, resource_id } = about
    if (user_id === undefined && (resource_type === undefined || resource_id === undefined))
      throw invalid('', 'required', 'Name a user_id, or a resource_type with its resource_id')
    return write(principal, async ({ tx, audit }) => {
      const erased = await erasePersonal(tx, about)
      audit({
        action: 'erase',
        resourceType: 'audit_log',
        resourceId: null,
        details: { rows: erased, user_id: user_id ?? null, resource_type: resource_type ?? null },
      })
      return { erased }
    })
  },
})

function authorizeLog(principal: Principal, clientId: string | undefined) {
  authorize(principal, 'read', clientId === undefined ? { kind: 'platform' } : { kind: 'audit', clientId })
}

async function* lines(db: Db, filter: AuditFilter & { client_id?: string | undefined }): AsyncGenerator<string> {
  let after: Position | undefined
  for (;;) {
    const rows = await listForExport(db, filter, { limit: EXPORT_PAGE, after })
    if (rows.length > 0) yield rows.map(({ at: _, ...row }) => `${JSON.stringify(row)}\n`).join('')
    const last = rows.at(-1)
    if (last === undefined || rows.length < EXPORT_PAGE) return
    after = { at: last.at, id: last.id }
  }
}
