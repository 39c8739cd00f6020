import { insertClient, insertUser } from '~/features/users/queries'
import { createDatabase } from '~/platform/db'
import { silentLog } from '~/platform/log'

const PASSWORD = 'correct horse battery staple'

/** Somebody with a client of their own, straight into the database, who signs in at a server. */
export const signedIn = (databaseUrl: string) => async (url: string) => {
  const database = createDatabase({
    url: databaseUrl,
    poolSize: 1,
    prepare: false,
    statementTimeoutMs: 5000,
    connectTimeoutMs: 5000,
    acquireTimeoutMs: 5000,
    tls: 'auto',
    applicationName: 'drill',
    log: silentLog,
  })
  try {
    const email = `${crypto.randomUUID()}@example.com`
    const client = await insertClient(database.db, { name: 'Drill', email })
    if (client === undefined) throw new Error('the client is there already')
    const passwordHash = await Bun.password.hash(PASSWORD, { algorithm: 'bcrypt', cost: 4 })
    await insertUser(database.db, {
      email,
      passwordHash,
      isActive: true,
      emailVerified: true,
      isAdmin: false,
      clientId: client.id,
      role: 'owner',
    })
    const response = await fetch(`${url}/api/v1/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email, password: PASSWORD }),
    })
    if (!response.ok) throw new Error(`cannot sign in: ${response.status} ${await response.text()}`)
    return { clientId: client.id, token: ((await response.json()) as { access_token: string }).access_token }
  } finally {
    await database.close()
  }
}
