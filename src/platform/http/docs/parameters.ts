import { KEPT_DAYS } from '../../idempotency-upkeep'
import type { Parameter, Reference } from './openapi'

/** For `detail.parameters` of routes that honour the header: what a route reads without a schema, the document cannot know. */
export const idempotencyKey: Reference = { $ref: '#/components/parameters/IdempotencyKey' }
export const acceptLanguage: Reference = { $ref: '#/components/parameters/AcceptLanguage' }
export const ifMatch: Reference = { $ref: '#/components/parameters/IfMatch' }
export const lastEventId: Reference = { $ref: '#/components/parameters/LastEventId' }
export const a2aVersion: Reference = { $ref: '#/components/parameters/A2AVersion' }

export const sharedParameters: Record<string, Parameter> = {
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    description: `A name of your choice for this request. Sent again with the same key and body within ${KEPT_DAYS} days, it is done once and answered the same; with another body it is refused.`,
    schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[\\x21-\\x7e]+$' },
  },
  AcceptLanguage: {
    name: 'Accept-Language',
    in: 'header',
    description: 'The languages that the person reads: mails are written in the first that we speak, English or Portuguese.',
    schema: { type: 'string', maxLength: 1000 },
  },
  IfMatch: {
    name: 'If-Match',
    in: 'header',
    description: 'The `ETag` of what you have read: the request is refused with 412 if it has been changed since.',
    schema: { type: 'string', maxLength: 1000 },
  },
  LastEventId: {
    name: 'Last-Event-ID',
    in: 'header',
    description: 'The `id` of the last event that you have; the stream goes on behind it. Browsers send it by themselves.',
    schema: { type: 'string', pattern: '^\\d{1,15}$' },
  },
  A2AVersion: {
    name: 'A2A-Version',
    in: 'header',
    description: 'The version of the A2A protocol that the request is written in; without it the shape of the request decides.',
    schema: { type: 'string', examples: ['1.0', '0.3'] },
  },
}

const DESCRIPTIONS: Record<string, string> = {
  'header x-client-id': 'The client that the request is about. Users name their own; admins any.',
  'query skip': 'How many items to leave out at the start.',
  'query limit': 'How many items to answer with, at most.',
  'query cursor': 'Where this page begins, in place of `skip`: the `Link` header of the page before names it.',
}

/** Parameters that every feature has are explained in one place. */
export const explained = (parameter: Parameter | Reference): Parameter | Reference => {
  if (!('name' in parameter)) return parameter
  const description = parameter.description ?? DESCRIPTIONS[`${parameter.in} ${parameter.name}`]
  return description === undefined ? parameter : { ...parameter, description }
}
