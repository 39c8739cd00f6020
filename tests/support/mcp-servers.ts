import { createMcpHandler, fromJsonSchema, McpServer } from '@modelcontextprotocol/server'
import { findFreePort } from '~/processes/ports'

/** MCP servers to talk to: the reference ones from npm, one of the current revision, and one that does as it is told. */

const BIN = 'node_modules/@modelcontextprotocol'

/** `everything` as its own process, by HTTP: written with the SDK of the older revisions. */
export async function startEverything(transport: 'streamableHttp' | 'sse') {
  const port = await findFreePort()
  const child = Bun.spawn(['node', `${BIN}/server-everything/dist/index.js`, transport], {
    env: { PATH: process.env.PATH, PORT: String(port) },
    stdout: 'ignore',
    stderr: 'ignore',
  })
  const url = `http://127.0.0.1:${port}${transport === 'sse' ? '/sse' : '/mcp'}`
  for (let tries = 0; tries < 200; tries++) {
    const isUp = await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    )
    if (isUp) return { url, port, close: () => child.kill() }
    await Bun.sleep(50)
  }
  throw new Error('server-everything does not answer')
}

/** One tool, `greet`, offered in revision 2026-07-28 alone. */
export function startModern() {
  const handler = createMcpHandler(
    () => {
      const server = new McpServer({ name: 'modern', version: '1.0.0' })
      const inputSchema = fromJsonSchema<{ name: string }>({
        type: 'object',
        properties: { name: { type: 'string' } },
        required: ['name'],
      })
      server.registerTool('greet', { description: 'Greets', inputSchema, annotations: { readOnlyHint: true } }, ({ name }) => ({
        content: [{ type: 'text', text: `Hello, ${name}` }],
      }))
      return server
    },
    { legacy: 'reject' },
  )
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: (request) => handler.fetch(request) })
  return { url: `http://127.0.0.1:${server.port}/mcp`, port: server.port ?? 0, close: () => server.stop(true) }
}

export interface FakeTool {
  name: string
  description?: string
  inputSchema?: object
  annotations?: object
}

interface Message {
  id?: number
  method: string
  params?: { name?: string; arguments?: Record<string, unknown>; _meta?: Record<string, unknown> }
}

/** Speaks revision 2025-06-18 in single answers. `answer` may take the place of any of them. */
export function startFake(tools: FakeTool[]) {
  const fake = {
    tools,
    /** Sessions that were ended, in order. */
    ended: [] as (string | null)[],
    /** Every message that came, with its headers. */
    seen: [] as { message: Message; headers: Headers }[],
    answer: undefined as ((message: Message, request: Request) => Response | Promise<Response> | undefined) | undefined,
    url: '',
    port: 0,
    close: () => server.stop(true),
    calls: () => fake.seen.filter(({ message }) => message.method === 'tools/call'),
  }
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    idleTimeout: 0,
    async fetch(request) {
      if (request.method === 'DELETE') fake.ended.push(request.headers.get('mcp-session-id'))
      if (request.method !== 'POST') return new Response(null, { status: 405 })
      const message = (await request.json()) as Message
      fake.seen.push({ message, headers: request.headers })
      const own = await fake.answer?.(message, request)
      if (own !== undefined) return own
      if (message.id === undefined) return new Response(null, { status: 202 })
      return reply(message, resultOf(message))
    },
  })
  const resultOf = ({ method, params }: Message): object | undefined => {
    if (method === 'initialize')
      return { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'fake', version: '1.0.0' } }
    if (method === 'tools/list') return { tools: fake.tools.map((tool) => ({ inputSchema: { type: 'object' }, ...tool })) }
    if (method === 'tools/call') return { content: [{ type: 'text', text: `${params?.name} was called` }] }
    return undefined
  }
  fake.port = server.port ?? 0
  fake.url = `http://127.0.0.1:${fake.port}/mcp`
  return fake
}

export const reply = ({ id }: Message, result: object | undefined) =>
  Response.json(
    result === undefined ? { jsonrpc: '2.0', id, error: { code: -32601, message: 'Method not found' } } : { jsonrpc: '2.0', id, result },
  )
