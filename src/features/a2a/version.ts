import type { Dialect } from '~/runtime/a2a/task'
import type { RpcCall } from './rpc-call'

const ONLY_03 = new Set(['agent/getAuthenticatedExtendedCard', 'tasks/pushNotificationConfig/list', 'tasks/pushNotificationConfig/delete'])

/**
 * In which words a request is made: as `named`, in its header or its address, else by what only one of them has. 0.3 and the reference share their
 * methods; 0.3 marks a message with its kind and calls a task's id `id`. Undefined for a version that nobody here speaks.
 */
export function versionOf(named: string | null | undefined, { method, params }: RpcCall): Dialect | undefined {
  const asked = named?.trim()
  if (asked) return /^1(\.0(\.\d+)?)?$/.test(asked) ? '1.0' : /^0\.3(\.\d+)?$/.test(asked) ? '0.3' : undefined
  if (/^[A-Z]/.test(method)) return '1.0'
  const { message, id, taskId } = (params ?? {}) as { message?: { kind?: unknown }; id?: unknown; taskId?: unknown }
  if (ONLY_03.has(method) || message?.kind === 'message' || (id !== undefined && taskId === undefined)) return '0.3'
  return 'reference'
}
