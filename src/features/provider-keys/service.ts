import { authorize } from '~/platform/access'
import type { Clock } from '~/platform/clock'
import type { Db } from '~/platform/db'
import { DomainError, notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import { type Listed, pageFrom } from '~/platform/keyset'
import type { Principal } from '~/platform/principal'
import type { Secrets } from '~/platform/secrets'
import type { Write } from '~/platform/unit-of-work'
import type { CheckKey } from '~/runtime/model/check-key'
import {
  countProviderKeys,
  findProviderKey,
  findSealedKey,
  insertProviderKey,
  listProviderKeys,
  type SortBy,
  updateProviderKey,
} from './queries'
import type { KeyCheck, NewProviderKey, ProviderKey, ProviderKeyChange } from './schema'

export type ProviderKeyService = ReturnType<typeof createProviderKeyService>

export interface ProviderKeyDeps {
  db: Db
  write: Write
  secrets: Secrets
  clock: Clock
  checkKey: CheckKey
}

export const createProviderKeyService = ({ db, write, secrets, clock, checkKey }: ProviderKeyDeps) => ({
  create(principal: Principal, { client_id: clientId, name, provider, key_value }: NewProviderKey): Promise<ProviderKey> {
    authorize(principal, 'write', { kind: 'keys', clientId })
    return write(principal, async ({ tx, audit }) => {
      const id = crypto.randomUUID()
      const encryptedKey = await secrets.seal(tx, clientId, contextOf(id), key_value)
      const key = await insertProviderKey(tx, { id, clientId, name, provider, encryptedKey, lastFour: lastFourOf(key_value) })
      audit({ action: 'create', resourceType: 'api_key', resourceId: id, clientId, details: { name, provider } })
      return key
    })
  },

  async list(principal: Principal, clientId: string, page: Page & { sortBy: SortBy; descending: boolean }): Promise<Listed<ProviderKey>> {
    authorize(principal, 'read', { kind: 'keys', clientId })
    const [rows, total] = await Promise.all([listProviderKeys(db, clientId, page), countProviderKeys(db, clientId)])
    return { ...pageFrom(rows, page.limit), total }
  },

  async get(principal: Principal, clientId: string, id: string): Promise<ProviderKey> {
    authorize(principal, 'read', { kind: 'keys', clientId })
    const key = await findProviderKey(db, clientId, id)
    if (key === undefined) throw notFound('API Key')
    return key
  },

  update(
    principal: Principal,
    clientId: string,
    id: string,
    { name, provider, key_value, is_active }: ProviderKeyChange,
  ): Promise<ProviderKey> {
    authorize(principal, 'write', { kind: 'keys', clientId })
    return write(principal, async ({ tx, audit }) => {
      const replaced = key_value === undefined || key_value === null || key_value === '' ? undefined : key_value
      const key = await updateProviderKey(tx, clientId, id, {
        ...(name == null ? {} : { name }),
        ...(provider == null ? {} : { provider }),
        ...(is_active == null ? {} : { isActive: is_active }),
        ...(replaced === undefined
          ? {}
          : { encryptedKey: await secrets.seal(tx, clientId, contextOf(id), replaced), lastFour: lastFourOf(replaced) }),
      })
      if (key === undefined) throw notFound('API Key')
      audit({
        action: 'update',
        resourceType: 'api_key',
        resourceId: id,
        clientId,
        details: { name: key.name, key_replaced: replaced !== undefined },
      })
      return key
    })
  },

  /** The row stays, so that agents that name it fail with a reason. */
  remove(principal: Principal, clientId: string, id: string): Promise<void> {
    authorize(principal, 'write', { kind: 'keys', clientId })
    return write(principal, async ({ tx, audit }) => {
      const key = await updateProviderKey(tx, clientId, id, { isActive: false })
      if (key === undefined) throw notFound('API Key')
      audit({ action: 'delete', resourceType: 'api_key', resourceId: id, clientId })
    })
  },

  /** Nothing of the provider's answer is kept but how it ended. @throws DomainError `secret-unavailable` */
  async check(principal: Principal, clientId: string, id: string, signal: AbortSignal): Promise<KeyCheck> {
    authorize(principal, 'write', { kind: 'keys', clientId })
    const sealed = await findSealedKey(db, clientId, id)
    if (sealed === undefined) throw notFound('API Key')
    const { provider, isActive, encryptedKey } = sealed
    const { outcome, detail } = isActive
      ? await checkKey(provider, (await secrets.open(db, clientId, contextOf(id), encryptedKey)).trim(), signal)
      : { outcome: 'inactive' as const, detail: 'The key is switched off.' }
    const checked: KeyCheck = {
      ok: outcome === 'accepted',
      provider,
      outcome,
      detail,
      checked_at: new Date(clock.now()).toISOString(),
    }
    return write(principal, async ({ audit }) => {
      audit({ action: 'check', resourceType: 'api_key', resourceId: id, clientId, details: { provider, outcome } })
      return checked
    })
  },

  /** The key itself, for one model call. @throws DomainError `upstream-error` when it is gone or switched off, `secret-unavailable`. */
  async reveal(clientId: string, id: string): Promise<string> {
    const sealed = await findSealedKey(db, clientId, id)
    if (sealed === undefined || !sealed.isActive) throw new DomainError('upstream-error', 'The API key of this agent is inactive.')
    return secrets.open(db, clientId, contextOf(id), sealed.encryptedKey)
  },
})

const contextOf = (id: string) => `api_keys:${id}`

/** Nothing of a short key: four characters would be too much of it. */
const lastFourOf = (key: string) => (key.length >= 12 ? key.slice(-4) : '')
