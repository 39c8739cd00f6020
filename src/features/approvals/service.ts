import type { ApprovalsOf } from '~/features/runs/waiting'
import { authorizeReach } from '~/platform/access'
import type { Db } from '~/platform/db'
import { DomainError, invalid, notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import { identityOf, type Principal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import { RunPaused } from '~/runtime/pause'
import { type ApprovalFilter, countApprovals, decideApproval, expireApproval, findApproval, listApprovals, upsertApproval } from './queries'
import type { Approval, ApprovalDecision, RunApproval } from './schema'

export type ApprovalService = ReturnType<typeof createApprovalService>

interface Deps {
  db: Db
  write: Write
  /** Lets a run go on, within the transaction that decides. */
  wake(tx: Db, runId: string): Promise<unknown>
  expireSeconds: number
}

export function createApprovalService({ db, write, wake, expireSeconds }: Deps) {
  /** The questions of one run. What was decided stays decided, so that every execution hears the same. */
  const of: ApprovalsOf = ({ id: runId, clientId, agentId }) => ({
    async ask(stepKey, { tool, agent, args }) {
      const question = { id: Bun.randomUUIDv7(), clientId, runId, agentId, stepKey, tool, agent, arguments: args }
      const { id, state, ...row } = await upsertApproval(db, question, expireSeconds)
      if (state === 'approved') return { approved: true, args: row.edited_arguments ?? row.arguments }
      if (state === 'rejected') return { approved: false, reason: row.reason ?? 'Somebody has refused this.' }
      if (state === 'expired') {
        await expireApproval(db, id)
        return { approved: false, reason: 'Nobody has allowed this in time.' }
      }
      throw new RunPaused('approval', row.expires_at, { approval_id: id, tool, step: stepKey })
    },
  })

  return {
    of,

    async list(principal: Principal, filter: Page & ApprovalFilter): Promise<{ items: Approval[]; total: number }> {
      const reach = authorizeReach(principal, 'read', 'runs')
      const [items, total] = await Promise.all([listApprovals(db, reach, filter), countApprovals(db, reach, filter)])
      return { items, total }
    },

    async get(principal: Principal, id: string): Promise<Approval> {
      const approval = await findApproval(db, authorizeReach(principal, 'read', 'runs'), id)
      if (approval === undefined) throw notFound('Approval')
      return approval
    },

    /** The same by the run. @throws DomainError `conflict` unless exactly one question of it is open */
    async decideOf(principal: Principal, runId: string, { step, ...decision }: RunApproval): Promise<Approval> {
      const page = { skip: 0, limit: 100, state: 'pending' as const, runId }
      const open = await listApprovals(db, authorizeReach(principal, 'write', 'runs'), page)
      const [wanted, another] = open.filter((approval) => step === undefined || approval.step === step)
      if (wanted === undefined) throw notFound('Approval')
      if (another !== undefined) throw new DomainError('conflict', 'The run waits for several things: name the step.')
      return this.decide(principal, wanted.id, decision)
    },

    /** Once; the run goes on with it. @throws DomainError `conflict` when it was decided before, or is too late */
    decide(principal: Principal, id: string, { decision, arguments: edited, reason }: ApprovalDecision): Promise<Approval> {
      const reach = authorizeReach(principal, 'write', 'runs')
      if (decision === 'reject' && edited !== undefined)
        throw invalid('/arguments', 'not-allowed', 'Only an approval can change the arguments')
      return write(principal, async ({ tx, audit }) => {
        const before = await findApproval(tx, reach, id)
        if (before === undefined) throw notFound('Approval')
        const approval = await decideApproval(tx, id, {
          state: decision === 'approve' ? 'approved' : 'rejected',
          editedArguments: edited ?? null,
          reason: reason ?? null,
          decidedBy: identityOf(principal),
        })
        if (approval === undefined) throw new DomainError('conflict', 'This was decided before, or it is too late.')
        await wake(tx, approval.run_id)
        audit({
          action: decision,
          resourceType: 'approval',
          resourceId: id,
          clientId: approval.client_id,
          details: { run_id: approval.run_id, tool: approval.tool, edited: edited !== undefined },
        })
        return approval
      })
    },
  }
}
