import { sql } from 'drizzle-orm'
import { events } from '~/features/sessions/table'
import { budgets } from '~/features/usage/table'
import { sqlOnce } from '~/platform/built-once'
import type { Db } from '~/platform/db'
import type { AgentEvent } from '~/runtime/types'
import type { Spender } from '../budget-guard'
import { isOpen, runs } from '../table'
import { falling } from './budgets'
import { ownSeconds } from './owned'

/** How a session stands before a turn. */
export interface Outlook {
  /** By the database's clock. */
  at: Date
  /** No budget limits the run. */
  isFree: boolean
  /** The session has no run but this one. */
  isIdle: boolean
  /** Runs of the client in hand or queued; no more than `mostActive` are counted. */
  active: number
  /** Of earlier turns, oldest first. */
  history: AgentEvent[]
  /** The id of its last event. */
  newest: string | null
  /** That the agent gives its runs; null where it does not say. */
  ownSeconds: number | null
}

type Row = Pick<Outlook, 'at' | 'isFree' | 'isIdle' | 'active' | 'ownSeconds'> &
  (({ id: string } & Required<Pick<AgentEvent, 'author' | 'content' | 'actions'>>) | { id: null })

/** All in one statement, so that it shows one moment. */
const outlook = sqlOnce<Row>(() => {
  const clientId = sql.placeholder('clientId')
  const agentId = sql.placeholder('agentId')
  const sessionId = sql.placeholder('sessionId')
  const run = sql.placeholder('id')
  return sql`
    select now.*, said.id, said.author, said.content, said.actions
    from (
      select now() as at,
        not exists (select 1 from ${budgets} b where ${falling({ clientId, agentId, sessionId }, sql`b`)}) as "isFree",
        not exists (
          select 1 from ${runs} where client_id = ${clientId} and session_id = ${sessionId} and id <> ${run} and ${isOpen(sql`status`)}
        ) as "isIdle",
        (select count(*)::int from (
          select 1 from ${runs} where client_id = ${clientId} and status in ('queued', 'running') limit ${sql.placeholder('mostActive')}
        ) busy) as active,
        ${ownSeconds(clientId, agentId)} as "ownSeconds"
    ) now
    left join (
      select id, author, content, actions, position from ${events}
      where client_id = ${clientId} and session_id = ${sessionId} and run_id is distinct from ${run}
      order by position desc limit ${sql.placeholder('mostEvents')}
    ) said on true
    order by said.position desc`
})

export async function readOutlook(
  db: Db,
  { id, clientId, agentId, sessionId }: Spender,
  { mostEvents, mostActive }: { mostEvents: number; mostActive: number },
): Promise<Outlook> {
  const rows = await outlook(db, { id, clientId, agentId, sessionId, mostEvents, mostActive })
  // One row at least: without events it is all null.
  const [{ at, isFree, isIdle, active, ownSeconds, id: newest }] = rows as [Row, ...Row[]]
  const history = rows
    .flatMap((row) => (row.id === null ? [] : [{ author: row.author, content: row.content, actions: row.actions }]))
    .reverse()
  return { at, isFree, isIdle, active, history, newest, ownSeconds }
}
