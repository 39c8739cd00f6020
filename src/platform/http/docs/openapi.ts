/** As much of OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0) as is handled here. */
export interface Schema {
  title?: string
  type?: string | string[]
  enum?: unknown[]
  const?: unknown
  anyOf?: Schema[]
  $ref?: string
  [keyword: string]: unknown
}

export interface Reference {
  $ref: string
}

export interface Parameter {
  name: string
  in: 'path' | 'query' | 'header' | 'cookie'
  description?: string
  required?: boolean
  schema: Schema
}

export type Content = Record<string, { schema: Schema; example?: unknown }>

export interface Response {
  description: string
  headers?: Record<string, { description?: string; schema: Schema }>
  content?: Content
}

export interface Operation {
  operationId: string
  summary?: string
  description?: string
  tags?: string[]
  security?: Record<string, string[]>[]
  parameters?: (Parameter | Reference)[]
  requestBody?: { required: boolean; content: Content }
  responses: Record<string, Response | Reference>
}

/** By method, in lower case. */
export type PathItem = Record<string, Operation>

export const isReference = (value: object): value is Reference => '$ref' in value
