import { type Static, t } from 'elysia'
import { choice, PageQuery, Timestamp, text, Uuid } from '~/platform/http/schema'
import { APPROVAL_STATES } from './table'

const Arguments = t.Record(t.String(), t.Unknown())

export const Approval = t.Object(
  {
    id: Uuid,
    client_id: Uuid,
    run_id: Uuid,
    agent_id: t.String({ description: 'The agent that was run.' }),
    step: t.String({ description: 'The step of the run that waits.' }),
    agent: t.String({ description: 'The agent that wants it.' }),
    tool: t.String({ description: 'The tool, or the agent, that it wants to use.' }),
    arguments: Arguments,
    edited_arguments: t.Nullable(Arguments),
    state: choice(APPROVAL_STATES),
    reason: t.Nullable(t.String()),
    decided_by: t.Nullable(t.Record(t.String(), t.Unknown())),
    decided_at: t.Nullable(Timestamp),
    expires_at: Timestamp,
    created_at: Timestamp,
  },
  { title: 'Approval' },
)
export type Approval = Static<typeof Approval>

const decision = {
  decision: choice(['approve', 'reject'], { description: 'A rejection is told to the agent, which goes on without.' }),
  arguments: t.Optional(t.Record(t.String({ maxLength: 200 }), t.Unknown(), { description: 'Approves with these instead.' })),
  reason: t.Optional(text({ maxLength: 2000, description: 'Told to the agent.' })),
}

export const ApprovalDecision = t.Object(decision, { examples: [{ decision: 'approve' }] })
export type ApprovalDecision = Static<typeof ApprovalDecision>

export const ApprovalQuery = t.Object({ ...PageQuery, state: t.Optional(choice(APPROVAL_STATES)), run_id: t.Optional(Uuid) })

export const RunApproval = t.Object(
  {
    ...decision,
    step: t.Optional(text({ maxLength: 2000, description: 'Which step, where the run waits for several.' })),
  },
  { examples: [{ decision: 'approve' }] },
)
export type RunApproval = Static<typeof RunApproval>
