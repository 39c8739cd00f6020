import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import { oneAtATime } from '~/platform/one-at-a-time'
import type { Outbound } from '~/platform/outbound'
import type { Secrets } from '~/platform/secrets'
import type { Dialect, PushTarget } from '~/runtime/a2a/task'
import { deletePush, listPush, upsertPush } from './queries/push'
import type { Owner } from './queries/tasks'

const MAX_CONFIGS = 10
const contextOf = (runId: string, id: string) => `a2a_push_configs:${runId}:${id}`

/** As it is sealed. In rows of old what is shown has the reference's word, `type`, for `scheme`. */
const Sealed = Type.Object({
  url: Type.String(),
  token: Type.Optional(Type.String()),
  headers: Type.Record(Type.String(), Type.String()),
  shown: Type.Record(Type.String(), Type.Unknown()),
})

interface Deps {
  db: Db
  secrets: Secrets
  outbound: Outbound
  plainHttpHosts: string[]
}

/** Whom to tell of a task's end: their address and what they want to be shown is sealed. */
export function createPushConfigs({ db, secrets, outbound, plainHttpHosts }: Deps) {
  return {
    /** @throws DomainError `url-not-allowed`, `validation-failed` for what would not be sent to anyway */
    async check({ id, url, token, headers }: PushTarget): Promise<void> {
      const { protocol, host, hostname } = outbound.check(url)
      if (protocol !== 'https:' && !plainHttpHosts.some((allowed) => allowed === host || allowed === hostname))
        throw new DomainError('url-not-allowed', 'The URL of a push notification must begin with https.')
      await outbound.checkResolved(url)
      if (id.length > 200 || (token ?? '').length > 4096) throw new DomainError('validation-failed', 'The id or token is too long.')
      outbound.checkHeaders({ ...headers, ...tokenHeader(token) })
    },

    async save(tx: Db, { clientId }: Owner, runId: string, { id, ...target }: PushTarget, dialect: Dialect): Promise<void> {
      await oneAtATime(tx, 'push configs', runId)
      const others = (await listPush(tx, clientId, runId)).filter((one) => one.id !== id)
      if (others.length >= MAX_CONFIGS)
        throw new DomainError('validation-failed', `A task has ${MAX_CONFIGS} push notification configs at most.`)
      const sealed = await secrets.seal(tx, clientId, contextOf(runId, id), JSON.stringify(target))
      await upsertPush(tx, { runId, id, clientId, dialect, sealed })
    },

    async list({ clientId }: Owner, runId: string): Promise<PushTarget[]> {
      const rows = await listPush(db, clientId, runId)
      return Promise.all(rows.map(async ({ id, sealed }) => openPush({ db, secrets }, { clientId, runId, id, sealed })))
    },

    remove: (tx: Db, { clientId }: Owner, runId: string, id: string) => deletePush(tx, clientId, runId, id),
  }
}

export async function openPush(
  { db, secrets }: Pick<Deps, 'db' | 'secrets'>,
  { clientId, runId, id, sealed }: { clientId: string; runId: string; id: string; sealed: string },
): Promise<PushTarget> {
  const opened: Static<typeof Sealed> = Value.Parse(Sealed, JSON.parse(await secrets.open(db, clientId, contextOf(runId, id), sealed)))
  const { type, ...shown } = opened.shown
  return { id, ...opened, shown: type === undefined ? shown : { ...shown, scheme: type } }
}

export const tokenHeader = (token: string | undefined): Record<string, string> =>
  token === undefined ? {} : { 'x-a2a-notification-token': token }
