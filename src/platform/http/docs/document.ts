// The generator alone: the plugin's front door takes 20 ms to load, for pages that we do not use.
import { toOpenAPISchema, unwrapSchema } from '@elysiajs/openapi/openapi'
import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { AnyElysia, InternalRoute } from 'elysia'
import { createModels } from './models'
import type { Content, Operation, PathItem, Schema } from './openapi'
import { completeOperation, type Detail } from './operations'
import { sharedParameters } from './parameters'
import { problemComponents } from './responses'
import { closed, mapOperationSchemas, mapResponseSchemas, mapValues, tidySchema } from './schemas'
import { TAGS } from './tags'

/** Not a later 3.1.x, which says the same and which some generators of clients refuse. */
const OPENAPI_VERSION = '3.1.0'
/** Elysia's methods that are no operations of OpenAPI, and the preflights. */
const NOT_OPERATIONS = ['OPTIONS', 'ALL', 'WS']

const SECURITY_SCHEMES = {
  bearer: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: 'The `access_token` of `POST /api/v1/auth/login`; where its scopes allow, a machine key (`evo_mk_…`).',
  },
  agentKey: {
    type: 'apiKey',
    in: 'header',
    name: 'x-api-key',
    description: 'The key of one agent, `config.api_key`; it opens that agent alone.',
  },
}

export interface DocumentSettings {
  apiUrl: string
  about: { title: string; description: string; version: string }
}

/** Describes every route of the app that `plugin` is part of, except those with `detail.hide`. */
export function openApiDocument(plugin: AnyElysia, { apiUrl, about: { title, description, version } }: DocumentSettings) {
  const models = createModels()
  const paths = describePaths(plugin, (schema) => models.refer(tidySchema(schema)))
  const operations = Object.values(paths).flatMap((item) => Object.values(item))
  const problems = mapValues(problemComponents(apiUrl), (response) =>
    mapResponseSchemas(response, (schema) => models.refer(tidySchema(plain<Schema>(schema)))),
  )
  return {
    openapi: OPENAPI_VERSION,
    info: { title, description, version },
    servers: [{ url: apiUrl }],
    tags: TAGS.filter(({ name }) => operations.some(({ tags }) => tags?.includes(name))),
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: SECURITY_SCHEMES,
      parameters: referredTo('parameters', sharedParameters, paths),
      responses: referredTo('responses', problems, paths),
      schemas: models.schemas,
    },
  }
}

function describePaths(plugin: AnyElysia, finish: (schema: Schema) => Schema): Record<string, PathItem> {
  // `staticFile` would leave out every path with a dot.
  const exclude = { methods: NOT_OPERATIONS, staticFile: false }
  const drafts = plain<Record<string, PathItem>>(toOpenAPISchema(plugin, exclude, undefined, undefined, OPENAPI_VERSION).paths)
  const paths: Record<string, PathItem> = {}
  for (const { method, path, hooks } of routesOf(plugin)) {
    const name = path.replaceAll(/:([^/]+)/g, '{$1}')
    const draft = drafts[name]?.[method.toLowerCase()]
    if (draft === undefined) continue
    const detail = plain<Detail>(hooks.detail ?? {})
    // The plugin announces forms too, or no body at all once an app has a parser of its own; http/json-body.ts takes JSON alone.
    const schema = unwrapSchema(hooks.body, undefined, 'input', OPENAPI_VERSION)
    const content = schema && bodyContent(plain<Schema>(schema))
    // Where none was sent, it is null (http/json-body.ts).
    const body = content && { required: !Value.Check(hooks.body as TSchema, null), content }
    const operation = mapOperationSchemas(completeOperation(draft, { method, path, detail, body }), finish)
    paths[name] = { ...paths[name], [method.toLowerCase()]: withClosedBody(operation) }
  }
  return paths
}

/** Where there is a file, a form with it is taken, or JSON with what stands in its place: a list, which no form has. */
function bodyContent(schema: Schema): Content {
  const fields = Object.entries((schema.properties ?? {}) as Record<string, Schema>)
  const files = fields.flatMap(([name, { format }]) => (format === 'binary' ? [name] : []))
  const lists = fields.flatMap(([name, { type }]) => (type === 'array' ? [name] : []))
  if (files.length === 0) return { 'application/json': { schema } }
  const having = (ours: string[], others: string[]): Schema => {
    const properties = Object.fromEntries(fields.filter(([name]) => !others.includes(name)))
    return { ...schema, properties, required: [...((schema.required as string[] | undefined) ?? []), ...ours] }
  }
  const { examples: _ofJson, ...form } = having(files, lists)
  return { 'multipart/form-data': { schema: form }, 'application/json': { schema: having(lists, files) } }
}

function withClosedBody(operation: Operation): Operation {
  const { requestBody } = operation
  if (requestBody === undefined) return operation
  const content = mapValues(requestBody.content, (media) => ({ ...media, schema: closed(media.schema) }))
  return { ...operation, requestBody: { ...requestBody, content } }
}

/** Components that nothing refers to are left out. */
function referredTo<T>(kind: string, components: Record<string, T>, paths: Record<string, PathItem>): Record<string, T> {
  const text = JSON.stringify(paths)
  return Object.fromEntries(Object.entries(components).filter(([name]) => text.includes(`"#/components/${kind}/${name}"`)))
}

/** What Elysia hands to a plugin's generator, it keeps from TypeScript. */
const routesOf = (plugin: AnyElysia) => (plugin as unknown as { getGlobalRoutes(): InternalRoute[] }).getGlobalRoutes()

/** A copy without TypeBox's symbols: the originals are what routes validate with. */
const plain = <T>(value: unknown): T => JSON.parse(JSON.stringify(value))
