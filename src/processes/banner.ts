import type { Config } from '~/config'

/** What a newcomer sees when everything serves. `given` is what the operator set; the password is there only when it was generated just now. */
export function banner({
  config,
  given,
  adminPassword,
  seconds,
}: {
  config: Config
  given: Config
  adminPassword: string | undefined
  seconds: number
}): string {
  const { apiUrl, access, production } = config
  const rows: [string, string][] = [
    ['API docs', `${apiUrl}/docs`],
    ['Health', `${apiUrl}/readyz`],
    ['PostgreSQL', place(given.database.url, config.database.url)],
    ['Redis', place(given.redis.url, config.redis.url)],
  ]
  if (config.email.provider === 'mailbox') rows.push(['Mails', production ? 'kept in the database' : `${apiUrl}/dev/mailbox`])
  rows.push(['Admin', access.adminEmail])
  if (adminPassword !== undefined) rows.push(['Password', `${adminPassword}   (generated just now, shown only this once)`])
  const login = JSON.stringify({ email: access.adminEmail, password: adminPassword ?? 'YOUR-PASSWORD' })
  return [
    '',
    `  Evo AI is ready at ${apiUrl}  (after ${seconds.toFixed(1)} s)`,
    '',
    ...rows.map(([name, value]) => `    ${name.padEnd(12)}${value}`),
    '',
    '  Sign in:',
    '',
    `    curl -s ${apiUrl}/api/v1/auth/login -H 'content-type: application/json' -d '${login.replaceAll("'", "'\\''")}'`,
    '',
    '',
  ].join('\n')
}

/** Host and name, of the first of several, without the credentials, in which a comma may stand. */
function place(given: string | undefined, used = ''): string {
  const [, host = '', path = ''] = FIRST.exec(used) ?? []
  return given === undefined ? `embedded (${host})` : `${host}${path}`
}

/** Of `scheme://credentials@host:port,host:port/name` and of `scheme://…,scheme://…`. */
const FIRST = /^[a-z]+:\/\/(?:[^@/?#]*@)?([^,/?#]*)(?:,(?![a-z]+:\/\/)[^,/?#]*)*(\/[^,/?#]*)?/i
