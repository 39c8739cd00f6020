import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { listSettings, loadConfig } from '~/config'
import { isHealthy } from '~/processes/health-check'
import { devDependencies, engines, packageManager } from '../package.json'

/** What Dockerfile, compose.yaml and package.json say about the same thing, and what the server itself says about it. */

const read = (path: string) => readFileSync(join(import.meta.dir, '..', path), 'utf8')
const dockerfile = read('Dockerfile')
const text = read('compose.yaml')
const compose = Bun.YAML.parse(text) as Compose
const nginx = compose.configs.nginx.content

interface Service {
  environment?: Record<string, string | null>
  networks: Record<string, { ipv4_address?: string }>
  depends_on?: Record<string, { condition: string }>
  command?: string[]
  stop_grace_period?: string
}
interface Compose {
  services: Record<'load-balancer' | 'api-1' | 'api-2' | 'worker' | 'runner' | 'postgres' | 'redis', Service>
  configs: { nginx: { content: string } }
}

test('one version of Bun: engines, package manager, types and image', () => {
  expect([packageManager, devDependencies['bun-types'], /^FROM oven\/bun:([\d.]+)-slim/m.exec(dockerfile)?.[1]]).toEqual([
    `bun@${engines.bun}`,
    engines.bun,
    engines.bun,
  ])
})

test('the image runs without privileges and holds no secret', () => {
  expect(dockerfile).toMatch(/^USER bun$/m)
  expect(dockerfile).not.toMatch(/^(ARG|ENV) .*(SECRET|KEY|PASSWORD|TOKEN)/m)
  const [first, ...rest] = read('.dockerignore')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  expect(first).toBe('*')
  expect(rest.filter((line) => line.startsWith('!')).toSorted()).toEqual([
    '!LICENSE',
    '!bun.lock',
    '!db',
    '!package.json',
    '!src',
    '!tsconfig.json',
  ])
})

test('compose.yaml sets variables that exist, and writes no secret', () => {
  const known = new Set(listSettings().map(({ name }) => name))
  for (const name of ['api-1', 'api-2', 'worker', 'runner'] as const)
    expect(Object.keys(compose.services[name].environment ?? {}).filter((variable) => !known.has(variable))).toEqual([])
  const secrets = listSettings().filter(({ secret }) => secret)
  for (const { name } of secrets) {
    const value = compose.services['api-1'].environment?.[name]
    if (value !== undefined && value !== null) expect(value).toContain('${')
  }
})

test('each setting reaches the containers, but for what compose.yaml decides itself', () => {
  const missing = (name: 'api-1' | 'worker') => {
    const passed = Object.keys(compose.services[name].environment ?? {})
    return listSettings().flatMap((setting) => (passed.includes(setting.name) ? [] : [setting.name]))
  }
  const OWN = {
    'what nginx, health checks and stop_grace_period count on': [
      'PORT',
      'HOST',
      'SHUTDOWN_GRACE_SECONDS',
      'SHUTDOWN_DRAIN_SECONDS',
      'MAX_UPLOAD_BYTES',
    ],
    'which stores there are': [
      'DATABASE_PREPARE',
      'DATABASE_TLS',
      'REDIS_URL',
      'REDIS_PORT',
      'REDIS_DB',
      'REDIS_SSL',
      'REDIS_CLUSTER',
      'REDIS_SENTINEL_MASTER',
      'REDIS_SENTINEL_PASSWORD',
      'REDIS_ALLOW_EVICTION',
    ],
    'nothing of it is in a container': ['EVO_DATA_DIR', 'EVO_NO_INSTALL', 'DEMO_EMAIL', 'DEMO_PASSWORD', 'DEMO_CLIENT_NAME'],
    'there is but one value': ['JWT_ALGORITHM'],
  }
  expect(missing('api-1').toSorted()).toEqual(Object.values(OWN).flat().toSorted())
  expect(missing('worker').toSorted()).toEqual([...Object.values(OWN).flat(), 'EVO_API_REPLICAS'].toSorted())
})

test('compose.yaml starts in production as it stands, given its five secrets', () => {
  const secret = 'kR7v0QmX2nTz9LpW4sYc6HdJ8fGb1AeU'
  const given: Record<string, string> = {
    POSTGRES_PASSWORD: secret,
    REDIS_PASSWORD: secret,
    JWT_SECRET_KEY: secret,
    ENCRYPTION_KEY: secret,
    MCP_RUNNER_TOKEN: secret,
  }
  const fill = (value: string) => value.replace(/\$\{(\w+)(?::[-?]([^}]*))?\}/g, (_, name, fallback) => given[name] ?? fallback ?? '')
  const settings = Object.entries(compose.services.worker.environment ?? {}).map(([name, value]) => [name, fill(value ?? '')])
  expect(loadConfig({ ...Object.fromEntries(settings), SENDGRID_API_KEY: 'SG.key' })).toMatchObject({
    production: true,
    role: 'worker',
    apiUrl: 'http://localhost:8000',
    redis: { url: `redis://:${secret}@redis:6379/0` },
    mcp: { runnerUrl: 'http://runner:8000', runnerToken: secret },
  })
  const ofRunner = Object.entries(compose.services.runner.environment ?? {}).map(([name, value]) => [name, fill(value ?? '')])
  expect(loadConfig(Object.fromEntries(ofRunner))).toMatchObject({ production: true, role: 'runner', mcp: { runnerToken: secret } })
  // What runs there may read what its process may.
  expect(Object.keys(compose.services.runner.environment ?? {}).toSorted()).toEqual([
    'EVO_ROLE',
    'LOG_LEVEL',
    'MCP_RUNNER_TOKEN',
    'MCP_STDIO_COMMANDS',
    'MCP_STDIO_MAX',
    'MCP_STDIO_MEMORY_MB',
    'MCP_STDIO_SECONDS',
    'NODE_ENV',
    'TOOL_RESPONSE_BYTES',
  ])
  expect(Object.keys(compose.services.runner.networks)).not.toContain('stores')
})

test('the API believes the load balancer alone, and the load balancer finds every API container', () => {
  const addressOf = (name: keyof Compose['services']) => compose.services[name].networks.front?.ipv4_address ?? ''
  expect(compose.services['api-1'].environment?.TRUSTED_PROXIES).toBe(addressOf('load-balancer'))
  expect([...nginx.matchAll(/server ([\d.]+):8000/g)].map(([, address]) => address)).toEqual([addressOf('api-1'), addressOf('api-2')])
  expect(nginx).toContain('proxy_set_header X-Forwarded-For $$remote_addr;')
})

test('the load balancer lets the largest upload pass, streams, and repeats no POST', () => {
  const [, megabytes] = /client_max_body_size (\d+)m;/.exec(nginx) ?? []
  expect(Number(megabytes) * 1024 * 1024).toBe(loadConfig({}).limits.uploadBytes)
  expect(nginx).toContain('proxy_buffering off;')
  expect(nginx).not.toContain('non_idempotent')
})

test('a container has the time that a stop may take', () => {
  const { drainSeconds, shutdownGraceSeconds } = loadConfig({
    NODE_ENV: 'production',
    JWT_SECRET_KEY: 'kR7v0QmX2nTz9LpW4sYc6HdJ8fGb1AeU',
    ENCRYPTION_KEY: 'kR7v0QmX2nTz9LpW4sYc6HdJ8fGb1AeU',
    DATABASE_URL: 'postgres://db/evo',
    REDIS_URL: 'redis://cache',
    SENDGRID_API_KEY: 'SG.key',
  })
  const seconds = Number.parseInt(compose.services['api-1'].stop_grace_period ?? '', 10)
  expect(seconds).toBeGreaterThan(drainSeconds + shutdownGraceSeconds)
})

test('F-30: a container is given up after three misses, not after one', () => {
  const check = /^HEALTHCHECK (.*) CMD/m.exec(dockerfile)?.[1] ?? ''
  const [retries, interval, timeout] = ['retries', 'interval', 'timeout'].map((name) =>
    Number.parseInt(new RegExp(`--${name}=(\\d+)`).exec(check)?.[1] ?? '', 10),
  )
  expect(retries).toBeGreaterThanOrEqual(3)
  // A loop that stands still for five seconds answers within the patience of the check that came meanwhile, or at the next.
  expect((interval ?? 0) + (timeout ?? 0)).toBeGreaterThan(5)
  for (const service of Object.values(compose.services)) expect(JSON.stringify(service)).not.toContain('"retries":1,')
})

test('health: an answer is life, a refusal too; an error, silence and nobody are not', async () => {
  let status = 200
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response(null, { status }) })
  const health = async (answer: number) => {
    status = answer
    return isHealthy({ PORT: String(server.port) })
  }
  expect([await health(200), await health(421), await health(503)]).toEqual([true, true, false])
  await server.stop(true)
  expect(await health(200)).toBe(false)
  expect(await isHealthy({ EVO_ROLE: 'worker', PORT: String(server.port) })).toBe(true)
})
