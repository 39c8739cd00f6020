import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { DomainError } from '~/platform/errors'
import type { Outbound } from '~/platform/outbound'
import { hasPlaceholderInOrigin, replacePlaceholders } from './placeholders'

const Name = Type.String({ pattern: '^[^\\u0000-\\u001f\\u007f]{1,128}$' })
const named = <T extends TSchema>(value: T) => Type.Record(Name, value, { additionalProperties: false, maxProperties: 64 })
const text = (maxLength: number) => Type.String({ maxLength })
const orNull = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))
const Scalar = Type.Union([text(8192), Type.Number(), Type.Boolean()])

/**
 * `custom_tools.http_tools[]` as the frontend and the reference's users write it: only name, method and endpoint are demanded,
 * keys that we do not know are kept. What a URL and a header may be is for `checkHttpTool`.
 */
export type HttpToolSpec = Static<typeof HttpToolSpec>
export const HttpToolSpec = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 128 }),
  method: Type.String({ minLength: 1, maxLength: 16 }),
  /** With `{param}` for each path parameter; not within scheme, host and port. */
  endpoint: Type.String({ minLength: 1, maxLength: 4096 }),
  description: orNull(text(8192)),
  /** `{name}` in a value stands for the parameter or value of that name. */
  headers: orNull(named(text(8192))),
  /** Defaults of declared parameters, and what header placeholders stand for. Sent nowhere else. */
  values: orNull(named(Type.Union([Scalar, Type.Null()]))),
  parameters: orNull(
    Type.Object({
      /** Name and description. */
      path_params: orNull(named(Type.Union([text(8192), Type.Null()]))),
      /** A list is a constant; a string is the default, empty or not. */
      query_params: orNull(named(Type.Union([Scalar, Type.Array(Scalar, { maxItems: 256 }), Type.Null()]))),
      body_params: orNull(
        named(
          Type.Object({
            /** A JSON Schema type; any other word leaves the parameter open. */
            type: orNull(text(32)),
            required: orNull(Type.Boolean()),
            description: orNull(text(8192)),
          }),
        ),
      ),
    }),
  ),
  error_handling: orNull(
    Type.Object({
      /** Seconds for each attempt; 30 when absent or 0. Capped by the server. */
      timeout: orNull(Type.Number({ minimum: 0, maximum: 86_400 })),
      /** Further attempts, of GET, HEAD, PUT and DELETE only. Capped at 5. */
      retry_count: orNull(Type.Number({ minimum: 0, maximum: 1000 })),
      /** Answers for a failure, unless all its texts are empty. */
      fallback_response: orNull(named(Type.Union([Scalar, Type.Null()]))),
    }),
  ),
  /** The remote side honours `Idempotency-Key`, so that even a POST may be repeated after a crash. */
  idempotent: orNull(Type.Boolean()),
  /** Somebody has to allow each call. */
  require_approval: orNull(Type.Boolean()),
})

/**
 * For saving: throws `url-not-allowed` for the endpoint and `validation-failed` for headers, with pointers below `pointer`.
 * A host name is looked up only when the tool runs, and checked again then.
 */
export function checkHttpTool(spec: HttpToolSpec, outbound: Pick<Outbound, 'check' | 'checkHeaders'>, pointer: string): void {
  const filled = (template: string) => replacePlaceholders(template, () => 'x')
  if (hasPlaceholderInOrigin(spec.endpoint))
    throw new DomainError('url-not-allowed', 'A placeholder cannot stand for a part of the scheme, host or port.')
  outbound.check(filled(spec.endpoint))
  const headers = Object.entries(spec.headers ?? {}).map(([name, value]): [string, string] => [name, filled(value)])
  outbound.checkHeaders(Object.fromEntries(headers), `${pointer}/headers`)
}
