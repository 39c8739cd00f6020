import { type SQL, sql } from 'drizzle-orm'
import { type BudgetScope, budgetReservations, budgets } from '~/features/usage/table'
import type { Db } from '~/platform/db'
import type { ReserveAnswer, Spender } from '../budget-guard'
import { runs } from '../table'
import { type OwnedRun, ours } from './owned'

/** Which budgets a run's money comes out of. */
export const falling = (
  { clientId, agentId, sessionId }: Record<'clientId' | 'agentId' | 'sessionId', unknown>,
  alias = sql`${budgets}`,
) => sql`${alias}.client_id = ${clientId} and (${alias}.scope, ${alias}.scope_id) in
  (('client', ${clientId}), ('agent', ${agentId}), ('session', ${sessionId}))`

/**
 * Sets an amount aside in each budget that the step falls under, or in none. The rows are locked in one order, so that the last cent is given once.
 * A reservation that is there already was left by a crash: it counts as spent.
 */
export async function reserve(
  db: Db,
  spender: OwnedRun,
  { stepKey, amountNanos }: { stepKey: string; amountNanos: number },
): Promise<ReserveAnswer> {
  const { id, clientId, agentId, sessionId } = spender
  const [row] = await db.execute<{ mine: number; budgets: number; ok: boolean; refusing: BudgetScope[] | null; held: boolean }>(sql`
    with mine as (select 1 from ${runs} where ${ours(spender)}),
    old as (
      delete from ${budgetReservations} where run_id = ${id} and step_key = ${stepKey} and exists (select 1 from mine) returning amount_nanos
    ),
    lost as (select coalesce(sum(amount_nanos), 0)::bigint as amount from old),
    due as (select * from ${budgets} b where ${falling(spender, sql`b`)} and exists (select 1 from mine) order by scope for update),
    verdict as (
      select count(*)::int as budgets,
        coalesce(bool_and(limit_nanos - spent_nanos - reserved_nanos >= ${amountNanos}::bigint), true) as ok,
        array_agg(scope) filter (where limit_nanos - spent_nanos - reserved_nanos < ${amountNanos}::bigint) as refusing,
        coalesce(bool_or(reserved_nanos > lost.amount), false) as held
      from due, lost
    ),
    changed as (
      update ${budgets} b
      set spent_nanos = b.spent_nanos + lost.amount,
        reserved_nanos = b.reserved_nanos - lost.amount + case when verdict.ok then ${amountNanos}::bigint else 0 end,
        -- Out of money, unless what others hold comes back.
        reached_at = case when not verdict.held and limit_nanos - spent_nanos - reserved_nanos < ${amountNanos}::bigint then coalesce(reached_at, now()) else reached_at end
      from verdict, lost where verdict.budgets > 0 and ${falling(spender, sql`b`)} returning 1
    ),
    kept as (
      insert into ${budgetReservations} (run_id, step_key, client_id, agent_id, session_id, amount_nanos)
      select ${id}, ${stepKey}, ${clientId}, ${agentId}, ${sessionId}, ${amountNanos}::bigint from verdict, lost
      where verdict.ok and verdict.budgets > 0 returning 1
    )
    select (select count(*)::int from mine) as mine, budgets, ok, refusing, held from verdict`)
  if (row?.mine === 0) return { verdict: 'taken-over' }
  if (row === undefined || row.budgets === 0) return { verdict: 'free' }
  return row.ok ? { verdict: 'reserved' } : { verdict: 'refused', scopes: row.refusing ?? [], othersHold: row.held }
}

/** Ends a reservation: what was spent is spent, the rest is free again. Done twice, it changes nothing. `only` is a condition on the whole. */
export const settleReservation = (
  spender: Spender,
  { stepKey, spentNanos }: { stepKey: string; spentNanos: number },
  only: SQL = sql`true`,
) => sql`
  gone as (delete from ${budgetReservations} where run_id = ${spender.id} and step_key = ${stepKey} and ${only} returning amount_nanos),
  settled as (
    update ${budgets} b set spent_nanos = b.spent_nanos + ${spentNanos}::bigint, reserved_nanos = b.reserved_nanos - gone.amount_nanos
    from gone where ${falling(spender, sql`b`)} returning 1
  )`

/** A late owner's release changes nothing: its successor has a reservation of its own. */
export const releaseReservation = async (db: Db, spender: OwnedRun, release: { stepKey: string; spentNanos: number }): Promise<void> => {
  const only = sql`exists (select 1 from ${runs} where ${ours(spender)})`
  await db.execute(sql`with ${settleReservation(spender, release, only)} select 1`)
}

/** What the calls of a run that is over had set aside when they were cut off counts as spent: nobody knows what the provider did. */
export const forfeitReservations = async (db: Db, spender: Spender): Promise<void> => {
  await db.execute(sql`
    with gone as (delete from ${budgetReservations} where run_id = ${spender.id} returning amount_nanos),
    lost as (select coalesce(sum(amount_nanos), 0)::bigint as amount from gone)
    update ${budgets} b set spent_nanos = b.spent_nanos + lost.amount, reserved_nanos = b.reserved_nanos - lost.amount
    from lost where lost.amount > 0 and ${falling(spender, sql`b`)}`)
}
