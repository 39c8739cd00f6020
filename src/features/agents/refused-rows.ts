import { sqlState } from '~/platform/db'
import { type FieldError, invalid } from '~/platform/errors'

/** What the database itself refuses of an agent: a folder or key of another client, where unknown ones look the same, and a key that another agent has. */
export const REFUSED = {
  folder: { pointer: '/folder_id', code: 'not-found', message: 'Folder not found' },
  providerKey: { pointer: '/api_key_id', code: 'not-found', message: 'API Key not found' },
  ownKey: { pointer: '/config/api_key', code: 'taken', message: 'This key cannot be used; leave it out and one is generated' },
} satisfies Record<string, FieldError>

/** @throws DomainError `validation-failed` where the database has refused one of these, else `error` itself */
export function refuseReference(error: unknown): never {
  const fault = faultOf(sqlState(error))
  throw fault === undefined ? error : invalid(fault.pointer, fault.code, fault.message)
}

function faultOf(state: ReturnType<typeof sqlState>): FieldError | undefined {
  if (state?.code === '23505') return REFUSED.ownKey
  if (state?.code !== '23503') return undefined
  if (state.constraint?.includes('folder_id')) return REFUSED.folder
  return state.constraint?.includes('api_key_id') ? REFUSED.providerKey : undefined
}
