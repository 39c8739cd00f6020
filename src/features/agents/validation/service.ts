import type { Static, TSchema } from '@sinclair/typebox'
import { type TypeCheck, TypeCompiler } from '@sinclair/typebox/compiler'
import { authorize, authorizeReach } from '~/platform/access'
import type { Db } from '~/platform/db'
import { DomainError, type FieldError, invalid, notFound } from '~/platform/errors'
import { toFieldErrors } from '~/platform/http/field-errors'
import { idOrNull } from '~/platform/http/schema'
import type { Outbound } from '~/platform/outbound'
import type { Principal } from '~/platform/principal'
import { hashKey, ownKeyOf } from '../agent-key'
import { asFaults, type Draft, draftFaults, faultsOf } from '../check-agent'
import { referenceFaults } from '../check-references'
import { type Config, shapeFaults } from '../config-schemas'
import { maskFaults, maskSecrets } from '../config-secrets'
import type { Drafts } from '../drafts'
import { cardOf, merge, withoutCard } from '../merge-change'
import { findAgent } from '../queries'
import { findNamed } from '../queries/named'
import { REFUSED } from '../refused-rows'
import { ClosedAgentChange, ClosedNewAgent, type Finding, type Validation, type ValidationRequest } from './schema'
import type { FindWarnings } from './warnings'

export type AgentValidation = ReturnType<typeof createAgentValidation>

interface Deps {
  db: Db
  outbound: Outbound
  drafts: Drafts
  findWarnings: FindWarnings
}

interface Judged {
  owner: { clientId: string; id: string }
  draft: Draft
  /** What the masks of secrets stand for. */
  before: Config
  key: unknown
  /** What was found already. */
  faults: FieldError[]
}

const MAX_FINDINGS = 100
const newAgent = TypeCompiler.Compile(ClosedNewAgent)
const agentChange = TypeCompiler.Compile(ClosedAgentChange)

/** Dry runs of making and of changing an agent: by the rules of both, without their transaction. */
export function createAgentValidation({ db, outbound, drafts, findWarnings }: Deps) {
  const ofNew = async (principal: Principal, { id: _, ...input }: ValidationRequest): Promise<Validation> => {
    const clientId = input.client_id
    if (clientId === undefined) throw invalid('/client_id', 'required', 'Name the client, or the agent by its id')
    authorize(principal, 'write', { kind: 'agents', clientId })
    const { value, faults } = fit(newAgent, input)
    if (value === undefined) return report(faults, [])
    const { api_key: key, ...config } = value.config ?? {}
    const draft = { ...value, config: withoutCard(config) }
    const owner = { clientId, id: crypto.randomUUID() }
    try {
      return await judge({ owner, draft: await drafts.complete(draft), before: {}, key, faults })
    } catch (error) {
      const ofCard = asFaults(error, '/agent_card_url')
      // Without its card it may have no name: that is no fault of its own.
      return judge({ owner, draft: { ...draft, name: draft.name || 'remote' }, before: {}, key, faults: [...faults, ...ofCard] })
    }
  }

  const ofChange = async (principal: Principal, id: string, input: ValidationRequest): Promise<Validation> => {
    const reach = authorizeReach(principal, 'write', 'agents')
    const before = await findAgent(db, reach, id)
    if (before === undefined) throw notFound('Agent')
    if (input.client_id !== undefined && input.client_id !== before.client_id)
      throw new DomainError('forbidden', 'An agent stays with its client.')
    const { value, faults } = fit(agentChange, input)
    if (value === undefined) return report(faults, [])
    const owner = { clientId: before.client_id, id: before.id }
    const described = await drafts.describeAnew(reach, id, value).catch((error: unknown) => {
      faults.push(...asFaults(error, '/agent_card_url'))
      return value
    })
    const { api_key: key, ...config } = { ...cardOf(before), ...(described.config ?? maskSecrets(before.config)) }
    return judge({ owner, draft: merge(before, described, config), before: before.config, key, faults })
  }

  const judge = async ({ owner, draft, before, key, faults }: Judged): Promise<Validation> => {
    const { type, name, config } = draft
    const hasShape = shapeFaults(type, config).next().done === true
    const [named, references] = await Promise.all([
      findNamed(db, owner, {
        folderId: idOrNull(draft.folder_id),
        apiKeyId: idOrNull(draft.api_key_id),
        keyHash: typeof key === 'string' && key !== '' ? hashKey(key) : undefined,
      }),
      hasShape ? referenceFaults(db, owner, { type, name: name ?? '', config }) : [],
    ])
    const refused = new Set(faults.map(({ pointer }) => fieldOf(pointer)))
    const more = [
      ...draftFaults(draft, outbound),
      ...faultsOf('/config/api_key', () => void ownKeyOf(key)),
      ...references,
      ...maskFaults(config, before),
      ...(idOrNull(draft.folder_id) !== null && !named.folder ? [REFUSED.folder] : []),
      ...(idOrNull(draft.api_key_id) !== null && named.key === null ? [REFUSED.providerKey] : []),
      ...(named.key_taken ? [REFUSED.ownKey] : []),
    ]
    const warnings = hasShape ? await findWarnings(draft, named.key) : []
    return report([...faults, ...more.filter(({ pointer }) => !refused.has(fieldOf(pointer)))], warnings)
  }

  return {
    /** @throws DomainError `forbidden`, `not-found`; whatever is wrong with the definition itself is in the answer */
    validate: (principal: Principal, input: ValidationRequest): Promise<Validation> =>
      input.id === undefined ? ofNew(principal, input) : ofChange(principal, input.id, input),
  }
}

/** The field that a pointer leads into. */
const fieldOf = (pointer: string) => pointer.split('/', 2).at(1) ?? ''

/** The request as far as it fits its schema, so that the rest can be judged too; undefined where nothing can be said without what is wrong. */
function fit<S extends TSchema>(
  schema: TypeCheck<S>,
  input: Record<string, unknown>,
): { value: Static<S> | undefined; faults: FieldError[] } {
  const faults = toFieldErrors(schema.Errors(input))
  const refused = new Set(faults.map(({ pointer }) => fieldOf(pointer)))
  const rest = Object.fromEntries(Object.entries(input).filter(([name]) => !refused.has(name)))
  return { faults, value: schema.Check(rest) ? rest : undefined }
}

function report(problems: FieldError[], warnings: FieldError[]): Validation {
  return { valid: problems.length === 0, problems: findings(problems), warnings: findings(warnings) }
}

/** Each once. */
const findings = (faults: FieldError[]): Finding[] =>
  [...new Map(faults.map((fault) => [`${fault.pointer} ${fault.message}`, fault])).values()]
    .slice(0, MAX_FINDINGS)
    .map(({ pointer, code, message }) => ({ path: pointer, code, message }))
