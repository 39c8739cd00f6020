import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'

/** Where the database is and how to greet it, read from a connection URL. */
export interface Target {
  /** Tried in this order. */
  addresses: Address[]
  user: string | undefined
  password: string
  database: string | undefined
  /** Startup parameters of the session, such as `application_name` or `options`. */
  parameters: Record<string, string>
  wants: SessionKind
}

export interface Address {
  /** A name or an IP address without brackets; for a Unix socket its file. */
  host: string
  /** `undefined`: a Unix socket. */
  port: number | undefined
  tls: Tls
}

export interface Tls {
  /** `prefer`: encrypted when the server can, as libpq's mode of that name. */
  mode: 'off' | 'prefer' | 'require'
  /** Whether the certificate must come from a known authority, and for this host name. */
  verify: 'nothing' | 'authority' | 'authority-and-name'
  /** PEM; the system's authorities when absent. */
  authorities?: string
}

/** libpq's `target_session_attrs`: of several hosts, the one that fits is taken. */
export type SessionKind = 'any' | 'read-write' | 'read-only' | 'primary' | 'standby' | 'prefer-standby'

const SESSION_KINDS: SessionKind[] = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby']

/** Settings of client libraries that often stand in URLs; a server refuses the connection when it meets them as parameters. */
const CLIENT_SETTINGS = new Set(
  `channel_binding client_encoding connect_timeout connection_limit fallback_application_name gssencmode gsslib hostaddr keepalives
  keepalives_count keepalives_idle keepalives_interval krbsrvname load_balance_hosts passfile pgbouncer pool_timeout prepare
  require_auth requirepeer schema service sslcert sslcompression sslcrl sslkey ssl_max_protocol_version ssl_min_protocol_version
  sslnegotiation sslpassword sslsni statement_cache_size statement_timeout tcp_user_timeout uselibpqcompat`.split(/\s+/),
)

/** Of DATABASE_TLS. */
export type TlsSetting = 'auto' | 'require' | 'verify' | 'off'

/**
 * Understands `postgres://user:password@host1:5432,host2:5433/database?sslmode=…&target_session_attrs=…`, IPv6 in brackets, and Unix sockets
 * (`?host=/run/postgresql`). `sslmode` in the URL wins over `tls`. Errors never repeat the URL: it holds the password.
 */
export function parseTarget(url: string, tls: TlsSetting): Target {
  const parts = /^postgres(?:ql)?:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(url)
  if (!parts) throw new Error('The database URL is not of the form postgres://user:password@host:port/database')
  const [, user, password = '', authority = '', database, query = ''] = parts
  const settings = Object.fromEntries(new URLSearchParams(query))
  const { host, port, sslmode, ssl, sslrootcert, target_session_attrs: wants = 'any', ...rest } = settings
  const kind = SESSION_KINDS.find((known) => known === wants)
  if (!kind) throw new Error('target_session_attrs in the database URL is unknown')
  const encryption = tlsOf(sslmode ?? ssl, tls, sslrootcert)
  return {
    addresses: splitHosts(authority || host || 'localhost', port).map((address) => ({ ...address, tls: encryption(address) })),
    user: user ? decodeURIComponent(user) : undefined,
    password: decodeURIComponent(password),
    database: database ? decodeURIComponent(database) : undefined,
    parameters: Object.fromEntries(Object.entries(rest).filter(([name]) => !CLIENT_SETTINGS.has(name))),
    wants: kind,
  }
}

function splitHosts(hosts: string, defaultPort = '5432') {
  return hosts.split(',').map((part) => {
    const [, bracketed, name = '', ownPort] = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?$/.exec(part) ?? []
    const host = decodeURIComponent(bracketed ?? name)
    const port = Number(ownPort ?? defaultPort)
    if (host === '' || !(port > 0 && port < 65_536)) throw new Error('A host or port in the database URL is not valid')
    return host.startsWith('/') ? { host: `${host}/.s.PGSQL.${port}`, port: undefined } : { host, port }
  })
}

function tlsOf(sslmode: string | undefined, setting: TlsSetting, rootCertificate: string | undefined) {
  const authorities = rootCertificate && rootCertificate !== 'system' ? { authorities: readFileSync(rootCertificate, 'utf8') } : {}
  const modes: Record<string, Tls> = {
    disable: { mode: 'off', verify: 'nothing' },
    allow: { mode: 'prefer', verify: 'nothing' },
    prefer: { mode: 'prefer', verify: 'nothing' },
    // As in libpq: a given root certificate turns `require` into `verify-ca`.
    require: { mode: 'require', verify: rootCertificate ? 'authority' : 'nothing', ...authorities },
    'verify-ca': { mode: 'require', verify: 'authority', ...authorities },
    'verify-full': { mode: 'require', verify: 'authority-and-name', ...authorities },
  }
  const named = { true: 'require', false: 'disable', off: 'disable', verify: 'verify-full' }[sslmode ?? setting] ?? sslmode ?? setting
  return ({ host, port }: { host: string; port: number | undefined }): Tls => {
    const local = port === undefined || isLoopback(host)
    const mode = modes[named === 'auto' ? (local ? 'disable' : 'require') : port === undefined ? 'disable' : named]
    if (!mode) throw new Error('sslmode in the database URL is unknown')
    return mode
  }
}

const isLoopback = (host: string) => host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
