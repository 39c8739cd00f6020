import { t } from 'elysia'
import { Uuid } from './schema'

/** The client that a request is about. Other headers pass: the list is open, unlike a body's. */
export const ClientHeader = t.Object({ 'x-client-id': Uuid }, { additionalProperties: true })
export const OptionalClientHeader = t.Object({ 'x-client-id': t.Optional(Uuid) }, { additionalProperties: true })
