import { t } from 'elysia'
import { GivenId } from './schema'

/** The client that a request is about. Other headers pass: the list is open, unlike a body's. */
export const ClientHeader = t.Object({ 'x-client-id': GivenId }, { additionalProperties: true })
export const OptionalClientHeader = t.Object({ 'x-client-id': t.Optional(GivenId) }, { additionalProperties: true })
