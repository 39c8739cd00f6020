import { and, asc, desc, eq, sql } from 'drizzle-orm'
import type { Reach } from '~/platform/access'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import { type ApprovalState, approvals } from './table'

const view = {
  id: approvals.id,
  client_id: approvals.clientId,
  run_id: approvals.runId,
  agent_id: approvals.agentId,
  step: approvals.stepKey,
  agent: approvals.agent,
  tool: approvals.tool,
  arguments: approvals.arguments,
  edited_arguments: approvals.editedArguments,
  // Nobody has to write down that it is too late.
  state: sql<ApprovalState>`case when ${approvals.state} = 'pending' and ${approvals.expiresAt} <= now() then 'expired' else ${approvals.state} end`,
  reason: approvals.reason,
  decided_by: approvals.decidedBy,
  decided_at: approvals.decidedAt,
  expires_at: approvals.expiresAt,
  created_at: approvals.createdAt,
}

export type ApprovalRow = Awaited<ReturnType<typeof listApprovals>>[number]

const within = ({ clientId, agentId }: Reach) =>
  and(clientId === null ? undefined : eq(approvals.clientId, clientId), agentId === null ? undefined : eq(approvals.agentId, agentId))

/** The question, asked now or before. */
export async function upsertApproval(
  db: Db,
  question: Pick<typeof approvals.$inferInsert, 'id' | 'clientId' | 'runId' | 'agentId' | 'stepKey' | 'agent' | 'tool' | 'arguments'>,
  expireSeconds: number,
): Promise<ApprovalRow> {
  const [row] = await db
    .insert(approvals)
    .values({ ...question, expiresAt: sql`now() + make_interval(secs => ${expireSeconds})` })
    .onConflictDoUpdate({ target: [approvals.runId, approvals.stepKey], set: { runId: question.runId } })
    .returning(view)
  return row as ApprovalRow
}

/** What was too late stays so, whoever decides afterwards. */
export const expireApproval = (db: Db, id: string) =>
  db
    .update(approvals)
    .set({ state: 'expired', decidedAt: sql`now()` })
    .where(and(eq(approvals.id, id), eq(approvals.state, 'pending')))

export interface ApprovalFilter {
  state: ApprovalState | undefined
  runId: string | undefined
}

function matches(reach: Reach, { state, runId }: ApprovalFilter) {
  const isLate = sql`${approvals.expiresAt} <= now()`
  const states = {
    pending: sql`${approvals.state} = 'pending' and not ${isLate}`,
    expired: sql`(${approvals.state} = 'expired' or (${approvals.state} = 'pending' and ${isLate}))`,
    approved: eq(approvals.state, 'approved'),
    rejected: eq(approvals.state, 'rejected'),
  }
  return and(within(reach), state === undefined ? undefined : states[state], runId === undefined ? undefined : eq(approvals.runId, runId))
}

export const listApprovals = (db: Db, reach: Reach, { skip, limit, ...filter }: Page & ApprovalFilter) =>
  db
    .select(view)
    .from(approvals)
    .where(matches(reach, filter))
    .orderBy(desc(approvals.createdAt), asc(approvals.id))
    .offset(skip)
    .limit(limit)

export async function countApprovals(db: Db, reach: Reach, filter: ApprovalFilter): Promise<number> {
  const [row] = await db.select({ total: sql<number>`count(*)::int4` }).from(approvals).where(matches(reach, filter))
  return row?.total ?? 0
}

export async function findApproval(db: Db, reach: Reach, id: string): Promise<ApprovalRow | undefined> {
  const [row] = await db
    .select(view)
    .from(approvals)
    .where(and(eq(approvals.id, id), within(reach)))
  return row
}

/** Undefined when it is decided already, or too late. */
export async function decideApproval(
  db: Db,
  id: string,
  decision: Pick<typeof approvals.$inferInsert, 'editedArguments' | 'reason' | 'decidedBy'> & { state: 'approved' | 'rejected' },
): Promise<ApprovalRow | undefined> {
  const [row] = await db
    .update(approvals)
    .set({ ...decision, decidedAt: sql`now()` })
    .where(and(eq(approvals.id, id), eq(approvals.state, 'pending'), sql`${approvals.expiresAt} > now()`))
    .returning(view)
  return row
}
