import { checkField, DomainError, type FieldError, invalid, sentenceOf } from '~/platform/errors'
import { idOrNull } from '~/platform/http/schema'
import type { Outbound } from '~/platform/outbound'
import { isKnownModel } from '~/runtime/model/providers'
import { compileOutputSchema } from '~/runtime/structured-output'
import { checkHttpTool } from '~/runtime/tools/http-tool'
import { type Config, shapeFaults } from './config-schemas'
import { customServersOf, httpToolsOf } from './llm-config'
import { readRunnableConfig } from './runnable-config'
import type { NewAgent } from './schema'

/** A definition before or after a change, without what the server owns. */
export type Draft = Omit<NewAgent, 'client_id' | 'config'> & { config: Config }

const AGENT_NAME = /^[a-zA-Z0-9_-]+$/
const MAX_CONFIG_BYTES = 512 * 1024
const MAX_ERRORS = 20
/** Where A2A 0.2 and 0.3 look for the card, and where 1.0 does. */
const CARD_PATH = /\/\.well-known\/agent(?:-card)?\.json$/

export type CheckedAgent = ReturnType<typeof checkAgent>

/**
 * The rules of creation, which also hold for what a change leaves: all that can be said without looking anything up.
 * @throws DomainError `validation-failed` with a pointer for each fault, `url-not-allowed`
 */
export function checkAgent(draft: Draft, outbound: Outbound) {
  for (const { pointer, check } of rulesOf(draft, outbound)) checkField(pointer, check)
  const { type, name, config, model, api_key_id, folder_id, agent_card_url, ...texts } = draft
  return {
    type,
    name: name ?? '',
    config,
    model: model || null,
    apiKeyId: idOrNull(api_key_id),
    folderId: idOrNull(folder_id),
    description: texts.description ?? null,
    role: texts.role ?? null,
    goal: texts.goal ?? null,
    instruction: texts.instruction ?? null,
    // Computed for agents of ours; only a remote agent has one of its own.
    agentCardUrl: type === 'a2a' ? (agent_card_url ?? null) : null,
  }
}

/** Everything that `checkAgent` would refuse, not only the first of it. */
export const draftFaults = (draft: Draft, outbound: Outbound): FieldError[] =>
  rulesOf(draft, outbound)
    .flatMap(({ pointer, check }) => faultsOf(pointer, check))
    .toArray()

/** What a check refuses; at `pointer` where it does not say where. */
export function faultsOf(pointer: string, check: () => void): FieldError[] {
  try {
    check()
    return []
  } catch (error) {
    return asFaults(error, pointer)
  }
}

/** @throws what is no fault of the draft */
export function asFaults(error: unknown, pointer: string): FieldError[] {
  if (!(error instanceof DomainError) || !DRAFT_PROBLEMS.has(error.problem)) throw error
  return error.errors ?? [{ pointer, code: error.problem, message: error.message }]
}

const DRAFT_PROBLEMS = new Set(['validation-failed', 'url-not-allowed', 'not-possible'])

interface Rule {
  /** What it is about. */
  pointer: string
  /** @throws DomainError */
  check(): void
}

/** In their order; those that read a config come only once its shape was found right. */
function* rulesOf({ type, name, config, model, agent_card_url }: Draft, outbound: Outbound): Generator<Rule> {
  yield { pointer: '/name', check: () => checkName(name) }
  if (type === 'llm') yield { pointer: '/model', check: () => checkModel(model) }
  if (type === 'a2a') yield { pointer: '/agent_card_url', check: () => checkCardUrl(agent_card_url) }
  let hasShape = false
  yield {
    pointer: '/config',
    check() {
      checkShape(type, config)
      hasShape = true
    },
  }
  yield { pointer: '/config', check: () => checkMembers(type, config) }
  if (!hasShape) return
  yield { pointer: '/config', check: () => checkRunnable(config) }
  if (type === 'llm') yield* callRules(config, outbound)
}

function checkName(name: string | null | undefined) {
  if (name === undefined || name === null || name === '') throw invalid('/name', 'required', 'Name is required for non-a2a agent types')
  if (!AGENT_NAME.test(name)) throw invalid('/name', 'format', 'Agent name cannot contain spaces or special characters')
  if (name === USER) throw invalid('/name', 'reserved', 'Agent name cannot be "user": that is who talks to the agents')
}

/** The author of what people say: an agent of that name would hear its own words as theirs. */
const USER = 'user'

function checkShape(type: Draft['type'], config: Config) {
  if (JSON.stringify(config).length > MAX_CONFIG_BYTES) throw invalid('/config', 'length', 'The config is larger than 512 KiB')
  const errors: FieldError[] = []
  for (const fault of shapeFaults(type, config)) {
    errors.push(fault)
    if (errors.length === MAX_ERRORS) break
  }
  const [first] = errors
  if (first !== undefined) throw new DomainError('validation-failed', sentenceOf(first), { errors })
}

/** What is no part of the reference: output schema, consent, limits. */
function checkRunnable(config: Config) {
  const { output_schema } = readRunnableConfig(config)
  if (output_schema) compileOutputSchema(output_schema)
}

/** Kinds that do nothing by themselves need somebody who does. */
function checkMembers(type: Draft['type'], config: Config) {
  const member = type === 'task' ? 'tasks' : type === 'sequential' || type === 'parallel' || type === 'loop' ? 'sub_agents' : undefined
  if (member === undefined) return
  if (Object.keys(config).length === 0) throw invalid('/config', 'required', `Configuration is required for ${type} agent type`)
  const members = config[member]
  if (Array.isArray(members) && members.length > 0) return
  const what = member === 'tasks' ? 'task' : 'sub-agent'
  throw invalid(`/config/${member}`, 'required', `Agent ${type} must have at least one ${what}`)
}

/** @throws DomainError `validation-failed` */
export function checkCardUrl(url: string | null | undefined): string {
  if (url === undefined || url === null || url === '')
    throw invalid('/agent_card_url', 'required', 'agent_card_url is required for a2a type agents')
  if (!URL.canParse(url) || !CARD_PATH.test(new URL(url).pathname))
    throw invalid('/agent_card_url', 'format', 'agent_card_url must end with /.well-known/agent.json')
  return url
}

/** Each address and header that a run will use, as far as they are known before a call. */
function* callRules(config: Config, outbound: Outbound): Generator<Rule> {
  for (const [index, tool] of httpToolsOf(config).entries()) {
    const pointer = `/config/custom_tools/http_tools/${index}`
    yield { pointer: `${pointer}/endpoint`, check: () => checkHttpTool(tool, outbound, pointer) }
  }
  for (const [index, { url, headers }] of customServersOf(config).entries()) {
    const pointer = `/config/custom_mcp_servers/${index}`
    yield { pointer: `${pointer}/url`, check: () => void outbound.check(url) }
    yield { pointer: `${pointer}/headers`, check: () => outbound.checkHeaders(headers ?? {}, `${pointer}/headers`) }
  }
}

function checkModel(model: string | null | undefined) {
  if (model === null || model === undefined || model === '') throw invalid('/model', 'required', 'Model is required for llm type agents')
  if (!isKnownModel(model))
    throw invalid('/model', 'choice', 'The model must be named provider/model, with a provider that this server knows')
}
