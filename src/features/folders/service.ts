import { authorize } from '~/platform/access'
import type { Db } from '~/platform/db'
import { notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import { type Listed, pageFrom } from '~/platform/keyset'
import type { Principal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import { countFolders, deleteFolder, findFolder, insertFolder, listFolders, updateFolder } from './queries'
import type { Folder, FolderChange, NewFolder } from './schema'

export type FolderService = ReturnType<typeof createFolderService>

/** Folders come with the right to the agents in them. */
export const createFolderService = ({ db, write }: { db: Db; write: Write }) => ({
  create(principal: Principal, { client_id: clientId, name, description = null }: NewFolder): Promise<Folder> {
    authorize(principal, 'write', { kind: 'agents', clientId })
    return write(principal, async ({ tx, audit }) => {
      const folder = await insertFolder(tx, { clientId, name, description })
      audit({ action: 'create', resourceType: 'agent_folder', resourceId: folder.id, clientId, details: { name } })
      return folder
    })
  },

  async list(principal: Principal, clientId: string, page: Page): Promise<Listed<Folder>> {
    authorize(principal, 'read', { kind: 'agents', clientId })
    const [rows, total] = await Promise.all([listFolders(db, clientId, page), countFolders(db, clientId)])
    return { ...pageFrom(rows, page.limit), total }
  },

  async get(principal: Principal, clientId: string, id: string): Promise<Folder> {
    authorize(principal, 'read', { kind: 'agents', clientId })
    const folder = await findFolder(db, clientId, id)
    if (folder === undefined) throw notFound('Folder')
    return folder
  },

  update(principal: Principal, clientId: string, id: string, change: FolderChange): Promise<Folder> {
    authorize(principal, 'write', { kind: 'agents', clientId })
    return write(principal, async ({ tx, audit }) => {
      const folder = await updateFolder(tx, clientId, id, change)
      if (folder === undefined) throw notFound('Folder')
      audit({ action: 'update', resourceType: 'agent_folder', resourceId: id, clientId, details: { name: folder.name } })
      return folder
    })
  },

  remove(principal: Principal, clientId: string, id: string): Promise<void> {
    authorize(principal, 'write', { kind: 'agents', clientId })
    return write(principal, async ({ tx, audit }) => {
      const gone = await deleteFolder(tx, clientId, id)
      if (gone === undefined) throw notFound('Folder')
      audit({ action: 'delete', resourceType: 'agent_folder', resourceId: id, clientId, details: gone })
    })
  },
})
