import type { Config } from '~/config'
import { createAgentLoader } from '~/features/agents/runnable'
import { createApprovalService } from '~/features/approvals/service'
import { createForesight } from '~/features/chat/foresight'
import { createChatService } from '~/features/chat/service'
import { createErasureService } from '~/features/erasures/service'
import { createKeepAgentFile } from '~/features/files/agent-files'
import { createFileKeeper } from '~/features/files/keeper'
import { createObjects } from '~/features/files/objects'
import { createFileService } from '~/features/files/service'
import { createLiveLog } from '~/features/runs/live-log'
import { createMemories } from '~/features/runs/memory'
import { wake as wakeRun, wakeUnpaid } from '~/features/runs/queries/wake'
import { createRunner } from '~/features/runs/runner'
import { createSaveLog } from '~/features/runs/save-log'
import { createRunService } from '~/features/runs/service'
import { createSessionService } from '~/features/sessions/service'
import { createUsageService } from '~/features/usage/service'
import { createOpenRemote } from '~/runtime/a2a/remote'
import { createModelClient } from '~/runtime/model/client'
import type { Definitions } from './definitions'
import type { Machinery } from './machinery'
import type { Mcp } from './mcp'

const HEARTBEAT_MS = 10_000

/** What happens when somebody talks to an agent: `owner` names this process in the leases of its runs. */
export function createConversations(
  config: Config,
  { stores: { database }, db, redis, write, log, clock, outbound, prices, operatorKeys, room }: Machinery,
  { agents, providerKeys }: Definitions,
  { createMcpSources }: Mcp,
  { owner, recoverEveryMs }: { owner: string; recoverEveryMs: number },
) {
  const { models: modelSettings, runs: runSettings, limits } = config
  const models = createModelClient({
    ...modelSettings,
    defaultKeys: operatorKeys,
    clock,
    log,
  })
  const loadAgent = createAgentLoader({
    agents,
    providerKeys,
    models,
    outbound,
    clock,
    log,
    modelTimeoutMs: modelSettings.callTimeoutMs,
    toolTimeoutMs: limits.toolTimeoutMs,
    toolResponseBytes: limits.toolResponseBytes,
    maxDepth: runSettings.maxDepth,
    createMcpSources,
    memoryOf: createMemories({ db }),
    openRemote: createOpenRemote({ outbound, maxBytes: limits.toolResponseBytes }),
  })
  const objects = config.files.objects === undefined ? undefined : createObjects(config.files.objects)
  const files = createFileKeeper({ db, objects, maxBytes: config.files.maxBytes })
  const live = createLiveLog({ redis, log })
  const approvals = createApprovalService({ db, write, wake: wakeRun, expireSeconds: runSettings.approvalSeconds })
  const runner = createRunner({
    executor: {
      db,
      live,
      saveLog: createSaveLog(db),
      clock,
      log,
      loadAgent,
      files,
      keepFile: createKeepAgentFile({ database, files }),
      room,
      approvalsOf: approvals.of,
      prices,
      limits: { maxSteps: runSettings.maxSteps, maxFanOut: runSettings.maxFanOut },
      maxTokens: runSettings.maxTokens,
      defaultOutputTokens: runSettings.defaultOutputTokens,
      maxHistory: runSettings.maxHistory,
    },
    redis,
    owner,
    leaseSeconds: runSettings.leaseSeconds,
    recoverEveryMs,
    isEager: recoverEveryMs < 1000,
    maxRecovered: runSettings.recoveryConcurrency,
  })
  const runs = createRunService({
    db,
    write,
    live,
    runner,
    files,
    leaseSeconds: runSettings.leaseSeconds,
    usualSeconds: runSettings.timeoutSeconds,
    concurrentPerClient: runSettings.concurrentPerClient,
    heartbeatMs: HEARTBEAT_MS,
    ownerOf: (reach, agentId) => agents.ownerOf(reach, agentId),
  })
  return {
    live,
    runner,
    runs,
    erasures: createErasureService({ db, write, clock, cancelRun: runs.cancelOwn, forgetRuns: live.erase }),
    approvals,
    usage: createUsageService({ db, write, clock, wakeUnpaid }),
    sessions: createSessionService({ db, write, agents, files }),
    keeper: files,
    files: createFileService({ db, keeper: files }),
    objects,
    chat: createChatService({ agents, runs, clock }),
    foresight: createForesight({ agents, runs }),
  }
}
