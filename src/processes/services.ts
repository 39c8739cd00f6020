import type { Config } from '~/config'
import { createAgentLoader } from '~/features/agents/runnable'
import { createAgentService } from '~/features/agents/service'
import { createAuthenticator } from '~/features/auth/authenticator'
import { deriveToken, hashToken } from '~/features/auth/one-time-token'
import { createAuthService } from '~/features/auth/service'
import { createSignOut } from '~/features/auth/sign-out'
import { createSendVerification } from '~/features/auth/verification'
import { createChatService } from '~/features/chat/service'
import { createClientService } from '~/features/clients/service'
import { createImpersonationService } from '~/features/impersonation/service'
import { createInvitationLinks } from '~/features/members/invitation-links'
import { createMemberService } from '~/features/members/service'
import { createProviderKeyService } from '~/features/provider-keys/service'
import { createLiveLog } from '~/features/runs/live-log'
import { createRunner } from '~/features/runs/runner'
import { createRunService } from '~/features/runs/service'
import { createSessionService } from '~/features/sessions/service'
import { createHealth } from '~/features/system/health'
import { createUserService } from '~/features/users/service'
import { createAdmission } from '~/platform/admission'
import { systemClock } from '~/platform/clock'
import type { Log } from '~/platform/log'
import { createOutbound } from '~/platform/outbound'
import { createRelay } from '~/platform/outbox/relay'
import { createHashNewPassword } from '~/platform/passwords/new-password'
import { createPasswords } from '~/platform/passwords/passwords'
import { createTokens } from '~/platform/tokens'
import { createWrite } from '~/platform/unit-of-work'
import { inputParts } from '~/runtime/conversation'
import { createModelClient } from '~/runtime/model/client'
import { openStores } from './stores'

const HEARTBEAT_MS = 10_000

/** All services, wired. API and worker processes both have them: either may execute runs. `owner` names this process in the leases of its runs. */
export function createServices(config: Config, { log, owner, recoverEveryMs }: { log: Log; owner: string; recoverEveryMs: number }) {
  const stores = openStores(config, { name: `evo-${owner}`, log })
  const { database, redis, secrets, linkKey } = stores
  const { db } = database
  const clock = systemClock
  const { access, rates, models: modelSettings, runs: runSettings, limits } = config

  const relay = createRelay({ database, redis, log })
  const write = createWrite({ database, relay })
  const passwords = createPasswords({ cost: access.bcryptCost })
  const tokens = createTokens({
    secrets: [access.jwtSecret ?? '', ...access.jwtPreviousSecrets],
    issuer: access.issuer,
    audience: access.audience,
    lifetimeSeconds: access.accessTokenSeconds,
  })
  const admission = createAdmission({
    redis,
    perMinute: { 'sign-in': rates.signInPerMinute, request: rates.requestsPerMinute, chat: rates.chatsPerMinute },
    tokenLifetimeSeconds: access.accessTokenSeconds,
  })
  const authenticator = createAuthenticator({ db, tokens, admission })
  const outbound = createOutbound({
    allow: config.outboundAllow,
    log,
    defaults: { timeoutMs: limits.toolTimeoutMs, maxBytes: limits.toolResponseBytes },
  })
  const models = createModelClient({
    ...modelSettings,
    defaultKeys: { openai: modelSettings.openaiKey, anthropic: modelSettings.anthropicKey, gemini: modelSettings.geminiKey },
    clock,
    log,
  })

  const auth = createAuthService({
    db,
    write,
    passwords,
    tokens,
    admission,
    linkKey,
    bcryptCost: access.bcryptCost,
    verifySeconds: access.tokenExpiryHours * 3600,
    resetSeconds: access.resetExpiryHours * 3600,
  })
  const hashNewPassword = createHashNewPassword({ passwords })
  const sendVerification = createSendVerification({ linkKey, ttlSeconds: access.tokenExpiryHours * 3600 })
  const signOut = createSignOut({ admission })
  const users = createUserService({ db, write, hashNewPassword, sendVerification, signOut })
  const clients = createClientService({ db, write, users, hashNewPassword, signOut })
  const invitationTokens = { derive: (id: string) => deriveToken(linkKey, id), hash: hashToken }
  const members = createMemberService({
    db,
    write,
    hashNewPassword,
    signOut,
    tokens: invitationTokens,
    invitationSeconds: access.invitationHours * 3600,
  })
  const impersonation = createImpersonationService({ db, write, tokens, signOut })
  const providerKeys = createProviderKeyService({ db, write, secrets })
  const agents = createAgentService({ db, write, secrets, outbound, apiUrl: config.apiUrl })
  const sessions = createSessionService({ db, write, agents })
  const live = createLiveLog({ redis, log })
  const loadAgent = createAgentLoader({
    agents,
    providerKeys,
    models,
    outbound,
    clock,
    modelTimeoutMs: modelSettings.callTimeoutMs,
    toolTimeoutMs: limits.toolTimeoutMs,
    toolResponseBytes: limits.toolResponseBytes,
  })
  const runner = createRunner({
    executor: {
      db,
      live,
      clock,
      log,
      loadAgent,
      toParts: (input) => ({ role: 'user', parts: inputParts(input) }),
      maxSteps: runSettings.maxSteps,
      maxHistory: runSettings.maxHistory,
    },
    redis,
    owner,
    leaseSeconds: runSettings.leaseSeconds,
    recoverEveryMs,
    maxRecovered: runSettings.recoveryConcurrency,
  })
  const runs = createRunService({
    db,
    write,
    live,
    runner,
    leaseSeconds: runSettings.leaseSeconds,
    timeoutSeconds: runSettings.timeoutSeconds,
    concurrentPerClient: runSettings.concurrentPerClient,
    heartbeatMs: HEARTBEAT_MS,
  })
  const chat = createChatService({ agents, runs, clock })
  const health = createHealth({ database, redis, isMigrated: stores.isMigrated })
  return {
    db,
    stores,
    write,
    passwords,
    admission,
    authenticator,
    auth,
    users,
    clients,
    members,
    invitationLinks: createInvitationLinks({ tokens: invitationTokens }),
    impersonation,
    providerKeys,
    agents,
    sessions,
    runner,
    runs,
    chat,
    health,
    /** Ends all streams of runs, each with the word to come back elsewhere. */
    interrupt: live.interrupt,
    async close() {
      live.close()
      passwords.close()
      await relay.close()
      await stores.close()
    },
  }
}
