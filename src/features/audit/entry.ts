import { Type as t } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import type { AuditPayload } from '~/platform/audit'
import type { Entry } from './chain'

const uuid = t.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' })
const nullable = <S extends ReturnType<typeof t.String>>(schema: S) => t.Union([schema, t.Null()])
const text = t.String()

/** The payload of an outbox row of kind `audit`, so strict that whatever passes can be written. */
const Payload = t.Object({
  user_id: nullable(uuid),
  actor_user_id: nullable(uuid),
  client_id: nullable(uuid),
  action: text,
  resource_type: text,
  resource_id: nullable(text),
  details: t.Union([t.Record(t.String(), t.Unknown()), t.Null()]),
  ip_address: nullable(text),
  user_agent: nullable(text),
  trace_id: nullable(text),
  created_at: t.String({ pattern: '^[12]\\d{3}-(0\\d|1[0-2])-[0-3]\\d(T)([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d\\.\\d{3}Z$' }),
}) satisfies { static: AuditPayload }

const checker = TypeCompiler.Compile(Payload)

/** Undefined for a payload that no version of ours has written. */
export function parseEntry(id: string, payload: unknown): Entry | undefined {
  if (!checker.Check(payload) || !Number.isFinite(Date.parse(payload.created_at))) return undefined
  // As PostgreSQL says it again, in microseconds.
  return { ...payload, id, created_at: `${payload.created_at.slice(0, -1)}000Z` }
}
