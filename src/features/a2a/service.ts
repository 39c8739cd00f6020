import { createHash } from 'node:crypto'
import type { AgentService } from '~/features/agents/service'
import type { ChatService } from '~/features/chat/service'
import type { FileKeeper } from '~/features/files/keeper'
import type { RunService } from '~/features/runs/service'
import { authorizeReach } from '~/platform/access'
import type { Db } from '~/platform/db'
import { DomainError, notFound } from '~/platform/errors'
import { EXTERNAL_ID } from '~/platform/external-id'
import { isMoment, type Position } from '~/platform/keyset'
import type { Outbound } from '~/platform/outbound'
import type { Principal } from '~/platform/principal'
import type { Secrets } from '~/platform/secrets'
import type { Write } from '~/platform/unit-of-work'
import { UUID_IN_ANY_CASE } from '~/platform/uuid'
import { type AgentTask, type AgentTasks, isOver, type NewTask } from '~/runtime/a2a/task'
import { type AgentFacts, agentCard } from './card'
import { createPushConfigs } from './push-configs'
import { countActiveOf, countTasks, findTask, insertTask, listTaskEvents, listTasks, type Owner, type TaskRow } from './queries/tasks'
import { checkSent } from './schema'
import { createTalks } from './talks'
import { updatesOf } from './task-updates'
import { viewTask } from './task-view'

export type A2aService = ReturnType<typeof createA2aService>

export interface A2aDeps {
  db: Db
  write: Write
  secrets: Secrets
  outbound: Outbound
  agents: AgentService
  chat: ChatService
  runs: RunService
  keeper: FileKeeper
  apiUrl: string
  /** Whether push notifications may go over plain http to hosts that the operator allows. */
  plainHttpHosts: string[]
}

/** How long a cancel waits for the process that has the run. */
const CANCEL_WAIT_MS = 5000

export function createA2aService(deps: A2aDeps) {
  const { db, write, agents, chat, runs, keeper, apiUrl } = deps
  const push = createPushConfigs(deps)

  const open = async (principal: Principal, agentId: string): Promise<{ owner: Owner; agent: AgentFacts }> => {
    const agent = await agents.find(authorizeReach(principal, 'write', 'chat'), agentId)
    return { owner: { clientId: agent.client_id, agentId }, agent }
  }

  return {
    /** Public: what an agent says about itself. @throws DomainError `not-found` */
    async card(agentId: string): Promise<Record<string, unknown>> {
      return agentCard(await agents.find({ clientId: null, agentId: null }, agentId), apiUrl)
    },

    /**
     * What a caller may do with one agent's tasks; `signal` aborts when the caller leaves, and `onAccepted` is told when what was sent is written down.
     * @throws DomainError `not-found`, `forbidden`
     */
    async tasksOf(
      principal: Principal,
      agentId: string,
      { signal, onAccepted }: { signal: AbortSignal; onAccepted?: () => void },
    ): Promise<AgentTasks & { agent: AgentFacts }> {
      const { owner, agent } = await open(principal, agentId)

      const find = async (taskId: string): Promise<TaskRow> => {
        const row = UUID_IN_ANY_CASE.test(taskId) ? await findTask(db, owner, taskId) : undefined
        if (row === undefined) throw notFound('Task')
        return row
      }
      const view = async (row: TaskRow, historyLength?: number): Promise<AgentTask> =>
        viewTask(row, await keeper.fill(owner.clientId, await listTaskEvents(db, owner.clientId, [row.id]), MAX_FILE_BYTES), historyLength)

      const stillWaits = async (taskId: string) => (await find(taskId)).waitingFor !== null
      const updates = (taskId: string, until: AbortSignal) =>
        updatesOf(runs.followOwn(taskId, { signal: until, streamed: true }), () => stillWaits(taskId))

      const contextOf = async ({ contextId, taskId }: NewTask) => {
        if (taskId === undefined) return contextId
        const earlier = await find(taskId)
        if (contextId !== undefined && contextId !== earlier.contextId)
          throw new DomainError('validation-failed', 'The task belongs to another context.')
        return earlier.contextId
      }

      return {
        agent,
        card: agentCard(agent, apiUrl),

        async send(task, dialect) {
          const known = await contextOf(task)
          for (const [name, value] of Object.entries({ contextId: known, messageId: task.messageId }))
            if (value !== undefined && (value.length > MAX_NAME || value === ''))
              throw new DomainError('validation-failed', `${name} must have 1 to ${MAX_NAME} characters.`)
          const files = task.files.map(({ filename, mediaType, data }, index) => ({
            filename: filename ?? `file-${index + 1}`,
            content_type: mediaType,
            data,
          }))
          const sent = checkSent({ message: task.text, files })
          if (task.push !== undefined) await push.check(task.push)
          // Each server passes on the trace of the request that it works for.
          if ((await countActiveOf(db, owner.clientId, principal.origin.traceId)) >= MAX_HOPS)
            throw new DomainError('limit-exceeded', `Agents have called each other more than ${MAX_HOPS} times in a circle.`)
          const contextId = known ?? crypto.randomUUID()
          const { runId } = await chat.start(onceFor(principal, agentId, known, task), {
            agentId,
            externalId: externalIdOf(contextId),
            message: sent,
            messageId: task.messageId,
            onDisconnect: 'continue',
            alongside: async (tx, id) => {
              await insertTask(tx, { ...owner, runId: id, contextId })
              if (task.push !== undefined) await push.save(tx, owner, id, task.push, dialect)
            },
          })
          onAccepted?.()
          return { id: runId, contextId: (await find(runId)).contextId }
        },

        get: async (taskId, historyLength) => view(await find(taskId), historyLength),

        async list({ contextId, state, since, limit, after, historyLength }) {
          const filter = { contextId, state, since, after: positionOf(after) }
          const [rows, total] = await Promise.all([listTasks(db, owner, filter, limit + 1), countTasks(db, owner, filter)])
          const page = rows.slice(0, limit)
          const events = Map.groupBy(
            await listTaskEvents(
              db,
              owner.clientId,
              page.map(({ id }) => id),
            ),
            ({ runId }) => runId ?? '',
          )
          const tasks = page.map((row) => viewTask(row, events.get(row.id) ?? [], historyLength ?? 0))
          const last = rows.length > limit ? page.at(-1) : undefined
          return { tasks, total, next: last === undefined ? null : `${last.at}_${last.id}` }
        },

        async cancel(taskId) {
          const row = await find(taskId)
          if (row.finishedAt !== null) throw new DomainError('conflict', 'The task is over.')
          await runs.cancelOwn(principal, taskId)
          // Until its process has heard of it.
          const patience = AbortSignal.any([signal, AbortSignal.timeout(CANCEL_WAIT_MS)])
          for await (const update of updates(taskId, patience)) if (update.kind === 'status' && isOver(update.state)) break
          return view(await find(taskId))
        },

        async *follow(taskId) {
          await find(taskId)
          yield* updates(taskId, signal)
        },

        async setPush(taskId, target, dialect) {
          await find(taskId)
          await push.check(target)
          await write(principal, ({ tx }) => push.save(tx, owner, taskId, target, dialect))
        },
        async listPush(taskId) {
          await find(taskId)
          return push.list(owner, taskId)
        },
        async deletePush(taskId, id) {
          await find(taskId)
          return write(principal, ({ tx }) => push.remove(tx, owner, taskId, id))
        },
      }
    },

    /** The reference's routes about whole conversations. */
    talks: createTalks({ db, open: async (principal, agentId) => (await open(principal, agentId)).owner, externalIdOf }),
  }
}

/** Of what others call their conversations and messages. */
const MAX_NAME = 512
/** Of runs at the same time that go back to one request. */
const MAX_HOPS = 8
/** Of the files that one task is shown with. */
const MAX_FILE_BYTES = 16_777_216

/** Where the page before ended. @throws DomainError `validation-failed` */
function positionOf(after: string | undefined): Position | undefined {
  if (after === undefined) return undefined
  const [at = '', id = '', ...more] = after.split('_')
  if (more.length > 0 || !isMoment(at) || !UUID_IN_ANY_CASE.test(id))
    throw new DomainError('validation-failed', 'The page token is none of an earlier answer.')
  return { at, id }
}

/** A conversation is found in our sessions by its context: as it is, where that can be, else by its hash. */
const externalIdOf = (contextId: string) =>
  EXTERNAL_ID.test(contextId) ? contextId : `a2a-${createHash('sha256').update(contextId).digest('hex').slice(0, 40)}`

/** The same message of the same caller, sent again because an answer was lost, is done once. One that only has the same id is another. */
function onceFor(principal: Principal, agentId: string, contextId: string | undefined, { messageId, text, files }: NewTask): Principal {
  const fingerprint = createHash('sha256')
    .update(JSON.stringify([contextId ?? null, messageId, text, files]))
    .digest('hex')
  return { ...principal, idempotency: { key: fingerprint, route: `A2A ${agentId}`, fingerprint } }
}
