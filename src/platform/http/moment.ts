import { Kind, TypeRegistry } from '@sinclair/typebox'
import { t } from 'elysia'

/** RFC 3339, and of ISO 8601 what scripts write: a day alone is its beginning, and a time without offset is UTC. */
const ISO =
  /^(?<day>\d{4}-\d\d-\d\d)(?:[Tt ](?<time>(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?)(?<offset>[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?)?$/

/**
 * A moment that a request names, in UTC and milliseconds from here on. No format of Elysia's: its `date-time` lets days pass that do not exist, and texts
 * that no Date can be made of. PostgreSQL has no year 0, and a fifth digit would make it another year.
 */
export const GivenMoment = t
  .Transform(
    t.Unsafe<string>({
      error: 'Must be a date and time as in RFC 3339',
      description: 'Without an offset it is UTC; a day alone is its beginning.',
      [Kind]: 'Moment',
      type: 'string',
      format: 'date-time',
    }),
  )
  .Decode((text) => readMoment(text)?.toISOString() ?? text)
  .Encode((text) => text)
TypeRegistry.Set('Moment', (_schema, value) => typeof value === 'string' && readMoment(value) !== undefined)

export function readMoment(text: string): Date | undefined {
  const { day, time = '00:00', offset = 'Z' } = ISO.exec(text)?.groups ?? {}
  if (day === undefined || !isDay(day)) return undefined
  const moment = new Date(`${day}T${time}${offset}`.toUpperCase())
  const year = moment.getUTCFullYear()
  return year >= 1 && year <= 9999 ? moment : undefined
}

/** 30 February would be taken for 2 March. */
function isDay(day: string): boolean {
  const date = new Date(`${day}T00:00Z`)
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(day)
}
