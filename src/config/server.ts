import { availableParallelism } from 'node:os'
import { isAbsolute, resolve } from 'node:path'
import { parseHostPattern, parseOrigin, parseOutboundEntry, parseRange } from './formats'
import type { Reader } from './reader'

/** The processes, where they listen, and who may reach what. */
export function readServer(read: Reader) {
  read.group = 'Server'
  const production =
    read.choice('NODE_ENV', 'In `production` secrets must come from the environment and development pages are off.', 'development', [
      'development',
      'production',
      'test',
    ]) === 'production'
  return {
    production,
    port: read.integer('PORT', 'Port of the HTTP server.', 8000, 0, 65535),
    host: read.text('HOST', 'Address to listen on.', '0.0.0.0'),
    role: read.choice('EVO_ROLE', 'What this container runs: `all`, `api`, `worker` or `runner`.', 'all', [
      'all',
      'api',
      'worker',
      'runner',
    ]),
    apiProcesses: read.integer(
      'EVO_API_PROCESSES',
      'API processes that share the port.',
      Math.min(4, Math.max(2, availableParallelism())),
      1,
      64,
      { shown: 'cores, 2 to 4' },
    ),
    dataDir: absolute(read.text('EVO_DATA_DIR', 'Where the embedded services and generated secrets live.', '.data')),
    noInstall: read.flag('EVO_NO_INSTALL', 'Forbids installing redis-server with apt-get on first start.', false),
    shutdownGraceSeconds: read.integer(
      'SHUTDOWN_GRACE_SECONDS',
      'How long a stop waits for requests, streams and jobs in hand.',
      30,
      1,
      600,
    ),
    drainSeconds: read.integer(
      'SHUTDOWN_DRAIN_SECONDS',
      'Of that, how long readiness answers 503 before the listener closes, so that a load balancer notices.',
      production ? 5 : 0,
      0,
      300,
      { shown: '5 in production, else 0' },
    ),
    logLevel: read.choice('LOG_LEVEL', 'Least level that is logged: debug, info, warn, error or silent.', 'info', [
      'debug',
      'info',
      'warn',
      'error',
      'silent',
    ]),
    debug: read.flag('DEBUG', 'Logs at level debug.', false),
    metricsToken: read.secret(
      'METRICS_TOKEN',
      'Bearer token that opens /metrics to Prometheus, at least 32 bytes.',
      'none: there is no such page',
    ),
  }
}

export function readAddresses(read: Reader, port: number) {
  read.group = 'Addresses'
  const apiUrl = read.publicUrl('API_URL', 'Public URL of this server: agent cards, problem types, links.', `http://localhost:${port}`, {
    shown: 'http://localhost:$PORT',
  })
  const appUrl = read.publicUrl('APP_URL', 'URL of the web frontend: the links in mails.', apiUrl, { shown: '$API_URL' })
  return {
    apiUrl,
    appUrl,
    corsOrigins: read.list(
      'CORS_ORIGINS',
      'Origins whose browsers may call the API; `*` allows any, without credentials.',
      [new URL(appUrl).origin],
      { each: parseOrigin, expected: '* or origins such as https://app.example.com (no path)', shown: 'the origin of $APP_URL' },
    ),
    allowedHosts: read.list(
      'ALLOWED_HOSTS',
      'Host names that requests may carry (`*.example.com` and `*` allowed); others get 421, but for `/livez` and `/readyz` by an IP address or in HTTP/1.0 without a host, as balancers ask.',
      [...new Set([new URL(apiUrl).hostname, 'localhost', '127.0.0.1', '[::1]'])],
      {
        each: parseHostPattern,
        expected: 'host names without scheme and port (*.example.com and * allowed)',
        shown: 'the host of $API_URL and the loopback names; outside production also any IP address',
      },
    ),
    trustedProxies: read.list('TRUSTED_PROXIES', 'Addresses (CIDR) of load balancers whose `X-Forwarded-For` is believed.', [], {
      each: parseRange,
      expected: 'IP addresses or CIDR ranges',
    }),
    outboundAllow: read.list(
      'OUTBOUND_ALLOW',
      'Hosts, host:port or CIDR ranges that tenant URLs may reach although they are private.',
      [],
      {
        each: parseOutboundEntry,
        expected: 'hosts, host:port or CIDR ranges',
      },
    ),
  }
}

export function readAbout(read: Reader) {
  read.group = 'About'
  return {
    title: read.text('API_TITLE', 'Title of the API document.', 'Evo AI API'),
    description: read.text('API_DESCRIPTION', 'Description of the API document.', 'API for executing AI agents'),
    version: read.text('API_VERSION', 'Version that `/` and the API document state.', '1.0.0'),
  }
}

const absolute = (path: string) => (isAbsolute(path) ? path : resolve(process.cwd(), path))
