import { cors } from '@elysiajs/cors'
import { Elysia } from 'elysia'
import { a2aCardRoutes, a2aRoutes, rpcError } from './features/a2a/routes'
import type { A2aService } from './features/a2a/service'
import { agentRoutes } from './features/agents/routes'
import type { AgentService } from './features/agents/service'
import { agentSharingRoutes, sharedAgentRoutes } from './features/agents/sharing/routes'
import type { AgentSharing } from './features/agents/sharing/service'
import { agentTransferRoutes } from './features/agents/transfer/routes'
import type { AgentTransferService } from './features/agents/transfer/service'
import { agentValidationRoutes } from './features/agents/validation/routes'
import type { AgentValidation } from './features/agents/validation/service'
import { agentVersionRoutes } from './features/agents/versions/routes'
import type { AgentVersionService } from './features/agents/versions/service'
import { approvalRoutes } from './features/approvals/routes'
import type { ApprovalService } from './features/approvals/service'
import { auditRoutes } from './features/audit/routes'
import type { AuditService } from './features/audit/service'
import { authRoutes } from './features/auth/routes'
import type { AuthService } from './features/auth/service'
import type { Foresight } from './features/chat/foresight'
import { chatRoutes, chatSocketRoutes } from './features/chat/routes'
import type { ChatService } from './features/chat/service'
import type { ChatSockets } from './features/chat/sockets'
import { clientRoutes } from './features/clients/routes'
import type { ClientService } from './features/clients/service'
import { contactRoutes } from './features/contacts/routes'
import type { ContactService } from './features/contacts/service'
import { erasureRoutes } from './features/erasures/routes'
import type { ErasureService } from './features/erasures/service'
import { fileRoutes } from './features/files/routes'
import type { FileService } from './features/files/service'
import { folderRoutes } from './features/folders/routes'
import type { FolderService } from './features/folders/service'
import { impersonationRoutes } from './features/impersonation/routes'
import type { ImpersonationService } from './features/impersonation/service'
import { machineKeyRoutes } from './features/machine-keys/routes'
import type { MachineKeyService } from './features/machine-keys/service'
import type { MailEventService } from './features/mail/event-service'
import { mailboxRoutes } from './features/mail/mailbox-page'
import { emailRoutes, mailEventRoutes } from './features/mail/routes'
import type { EmailService } from './features/mail/service'
import type { RenderMail } from './features/mail/templates'
import { mcpServerRoutes } from './features/mcp-servers/routes'
import type { McpServerService } from './features/mcp-servers/service'
import { mcpToolRoutes } from './features/mcp-tools/routes'
import type { McpToolService } from './features/mcp-tools/service'
import { acceptanceRoutes, memberRoutes } from './features/members/routes'
import type { MemberService } from './features/members/service'
import { providerKeyRoutes } from './features/provider-keys/routes'
import type { ProviderKeyService } from './features/provider-keys/service'
import { queueRoutes } from './features/queues/routes'
import type { QueueService } from './features/queues/service'
import { runEventRoutes, runRoutes } from './features/runs/routes'
import type { RunService } from './features/runs/service'
import { secondFactorRoutes } from './features/second-factors/routes'
import type { SecondFactorService } from './features/second-factors/service'
import { sessionRoutes } from './features/sessions/routes'
import type { SessionService } from './features/sessions/service'
import { refreshRoutes, signInRoutes } from './features/sign-ins/routes'
import type { SignInService } from './features/sign-ins/service'
import type { Health } from './features/system/health'
import { systemRoutes } from './features/system/routes'
import { toolRoutes } from './features/tools/routes'
import type { ToolService } from './features/tools/service'
import { usageRoutes } from './features/usage/routes'
import type { UsageService } from './features/usage/service'
import { userRoutes } from './features/users/routes'
import type { UserService } from './features/users/service'
import { webhookRoutes } from './features/webhooks/routes'
import type { WebhookService } from './features/webhooks/service'
import type { Admission } from './platform/admission'
import { type Db, inRequestScope } from './platform/db'
import { agentCallerOf, callerOf } from './platform/http/agent-caller'
import { apiDocs } from './platform/http/docs'
import { type GateOptions, gate } from './platform/http/gate'
import { idSpelling } from './platform/http/id-spelling'
import { jsonBody } from './platform/http/json-body'
import { metricsRoute, requestMetrics } from './platform/http/metrics-route'
import { lastResort, problems } from './platform/http/problems'
import { requestLog } from './platform/http/request-log'
import { unknownRoutes } from './platform/http/routes'
import { type Authenticator, createOpenSession, createSession } from './platform/http/session'
import { createStranger } from './platform/http/stranger'
import { target } from './platform/http/target'
import { trail } from './platform/http/trail'
import type { Log } from './platform/log'
import type { Metrics } from './platform/metrics'
import { createRoom, type Room } from './platform/room'
import type { Write } from './platform/unit-of-work'

export interface AppDeps {
  db: Db
  write: Write
  log: Log
  health: Health
  authenticator: Authenticator
  admission: Admission
  auth: AuthService
  signIns: SignInService
  secondFactors: SecondFactorService
  users: UserService
  clients: ClientService
  members: MemberService
  machineKeys: MachineKeyService
  impersonation: ImpersonationService
  agents: AgentService
  agentSharing: AgentSharing
  agentVersions: AgentVersionService
  agentTransfer: AgentTransferService
  agentValidation: AgentValidation
  providerKeys: ProviderKeyService
  mcpTools: McpToolService
  folders: FolderService
  contacts: ContactService
  erasures: ErasureService
  mcpServers: McpServerService
  tools: ToolService
  sessions: SessionService
  files: FileService
  runs: RunService
  approvals: ApprovalService
  usage: UsageService
  chat: ChatService
  foresight: Foresight
  sockets: ChatSockets
  a2a: A2aService
  audit: AuditService
  renderMail: RenderMail
  emails: EmailService
  mailEvents: MailEventService
  queues: QueueService
  webhooks: WebhookService
  metrics: Metrics
  /** For what is large of bodies and answers. */
  room: Room
  settings: {
    apiUrl: string
    about: { title: string; description: string; version: string }
    corsOrigins: string[]
    gate: GateOptions
    /** Whether each request carries whose rows it may touch, see `DATABASE_RLS`. */
    tenantScopes: boolean
    passwordMinLength: number
    /** Shows the mails that the `mailbox` provider keeps. Never in production. */
    mailboxPage: boolean
    /** Opens /metrics; without it there is none. */
    metricsToken: string | undefined
  }
}

export type App = ReturnType<typeof createApp>

/** Whose bodies those of platform admins are. */
const OPERATORS = 'operators'
/** Bodies of the largest size that anybody may send. */
const ORDINARY_AT_ONCE = 64

/** The HTTP surface. The order matters: a hook reaches only the routes registered after it. */
export function createApp(deps: AppDeps) {
  const { log, settings, admission, authenticator } = deps
  const session = createSession({ authenticator })
  const openSession = createOpenSession({ authenticator })
  /** Who talks to an agent may do so with the key of a share link. */
  const talkers = { agents: { openWithKey: deps.agents.openChatWithKey }, authenticator, admission }
  const stranger = createStranger({ admission })
  const app = new Elysia({
    // Unknown properties are refused, not dropped.
    normalize: false,
    // Else the path is looked for behind the URL's 11th character, and a short Host shifts it.
    handler: { standardHostname: false },
    // A schema that cannot be compiled is found at boot.
    precompile: true,
    websocket: {
      // A message carries files.
      maxPayloadLength: settings.gate.uploads.maxBytes,
      // A quiet socket is pinged after 8 s, and closed after 8 more without an answer.
      idleTimeout: 16,
      sendPings: true,
      // Never met: whoever sends waits for the room it needs. Beyond it Bun would drop frames.
      backpressureLimit: 268_435_456,
      perMessageDeflate: false,
    },
    serve: {
      maxRequestBodySize: Math.max(settings.gate.maxBodyBytes, settings.gate.uploads.maxBytes),
      // Bun's own error page shows source code.
      development: false,
      error: (error: Error) => lastResort(error, { apiUrl: settings.apiUrl, log }),
    },
  })
    .use(settings.tenantScopes ? new Elysia().wrap((handle) => (request: Request) => inRequestScope(() => handle(request))) : new Elysia())
    .use(requestLog({ log }))
    .use(requestMetrics({ metrics: deps.metrics }))
    .use(gate(settings.gate))
    .use(trail({ write: deps.write, log }))
    .use(problems({ apiUrl: settings.apiUrl, log, extend: rpcError }))
    .use(
      cors({
        origin: corsRule(settings.corsOrigins),
        methods: ['GET', 'POST', 'PUT', 'DELETE'],
        allowedHeaders: [
          'authorization',
          'x-api-key',
          'x-client-id',
          'content-type',
          'idempotency-key',
          'if-match',
          'last-event-id',
          'traceparent',
          // What A2A clients in a browser send.
          'a2a-version',
          'a2a-extensions',
        ],
        exposeHeaders: ['x-request-id', 'x-total-count', 'link', 'etag', 'retry-after', 'ratelimit', 'ratelimit-policy'],
        credentials: false,
        maxAge: 600,
      }),
    )
    .use(target(settings.gate))
    .use(idSpelling())
    .use(
      jsonBody({
        maxBodyBytes: settings.gate.maxBodyBytes,
        forms: new Set(['/api/v1/agents/import']),
        mayUpload: async (request, { agent_id = '' }) => {
          const { clientId } = await (request.url.includes('/api/v1/a2a/')
            ? agentCallerOf(request, agent_id, { agents: deps.agents, authenticator, admission })
            : callerOf(request, agent_id, talkers))
          return clientId ?? OPERATORS
        },
        rooms: { large: deps.room, ordinary: createRoom({ maxBytes: ORDINARY_AT_ONCE * settings.gate.maxBodyBytes }) },
      }),
    )
    .use(apiDocs(settings))
    .use(systemRoutes({ health: deps.health, version: settings.about.version }))
    .use(metricsRoute({ metrics: deps.metrics, token: settings.metricsToken }))
    .use(settings.mailboxPage ? mailboxRoutes({ db: deps.db, render: deps.renderMail }) : new Elysia())
    .group('/api/v1', (api) =>
      api
        .use(authRoutes({ auth: deps.auth, stranger, session, passwordMinLength: settings.passwordMinLength }))
        .use(refreshRoutes({ signIns: deps.signIns, stranger }))
        .use(signInRoutes({ signIns: deps.signIns, session }))
        .use(acceptanceRoutes({ members: deps.members, stranger, passwordMinLength: settings.passwordMinLength }))
        .use(secondFactorRoutes({ secondFactors: deps.secondFactors, session }))
        .use(userRoutes({ users: deps.users, session }))
        .use(clientRoutes({ clients: deps.clients, session }))
        .use(memberRoutes({ members: deps.members, session }))
        .use(machineKeyRoutes({ machineKeys: deps.machineKeys, session }))
        .use(impersonationRoutes({ impersonation: deps.impersonation, session }))
        .use(providerKeyRoutes({ providerKeys: deps.providerKeys, session: openSession }))
        .use(folderRoutes({ folders: deps.folders, session: openSession }))
        .use(sharedAgentRoutes({ sharing: deps.agentSharing, ...talkers }))
        .use(agentTransferRoutes({ transfer: deps.agentTransfer, session: openSession }))
        .use(agentValidationRoutes({ validation: deps.agentValidation, session: openSession }))
        .use(agentSharingRoutes({ sharing: deps.agentSharing, session: openSession }))
        .use(agentVersionRoutes({ versions: deps.agentVersions, session: openSession }))
        .use(agentRoutes({ agents: deps.agents, folders: deps.folders, session: openSession }))
        .use(mcpToolRoutes({ mcpTools: deps.mcpTools, session: openSession }))
        .use(mcpServerRoutes({ mcpServers: deps.mcpServers, session }))
        .use(toolRoutes({ tools: deps.tools, session }))
        .use(contactRoutes({ contacts: deps.contacts, session: openSession }))
        .use(erasureRoutes({ erasures: deps.erasures, session: openSession }))
        .use(sessionRoutes({ sessions: deps.sessions, session: openSession, room: deps.room }))
        .use(fileRoutes({ files: deps.files, session: openSession, room: deps.room }))
        .use(runEventRoutes({ runs: deps.runs, ...talkers }))
        .use(runRoutes({ runs: deps.runs, session: openSession }))
        .use(approvalRoutes({ approvals: deps.approvals, session: openSession }))
        .use(usageRoutes({ usage: deps.usage, session: openSession }))
        .use(chatRoutes({ chat: deps.chat, foresight: deps.foresight, ...talkers }))
        .use(emailRoutes({ emails: deps.emails, session }))
        .use(webhookRoutes({ webhooks: deps.webhooks, session }))
        .use(queueRoutes({ queues: deps.queues, session }))
        .use(mailEventRoutes({ mailEvents: deps.mailEvents }))
        .use(chatSocketRoutes({ sockets: deps.sockets }))
        .use(a2aCardRoutes({ a2a: deps.a2a, apiUrl: settings.apiUrl }))
        .use(a2aRoutes({ a2a: deps.a2a, apiUrl: settings.apiUrl, agents: deps.agents, authenticator, admission }))
        .use(auditRoutes({ audit: deps.audit, session })),
    )
  return unknownRoutes(app)
}

/** A function, because the plugin looks texts up in a plain object, which has `constructor` and `toString` as well. */
function corsRule(origins: string[]) {
  if (origins.includes('*')) return '*'
  const allowed = new Set(origins)
  return ({ headers }: Request) => allowed.has(headers.get('origin') ?? '')
}
