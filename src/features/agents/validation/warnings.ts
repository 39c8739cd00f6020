import { DomainError, type FieldError, pointerPart } from '~/platform/errors'
import type { Outbound } from '~/platform/outbound'
import { looksSecret } from '~/platform/secret-texts'
import { PROMPT_VARIABLES, unknownVariables } from '~/runtime/instruction'
import type { Prices } from '~/runtime/model/prices'
import { isKnownModel, needsOwnKey, type OperatorKeys, parseModelId } from '~/runtime/model/providers'
import type { Draft } from '../check-agent'
import { configKeysOf } from '../config-schemas'
import { blankSecrets } from '../config-secrets'
import { customServersOf, httpToolsOf } from '../llm-config'
import { catalogueSupplies } from '../references'

/** The provider key that an agent names. */
export type NamedKey = { provider: string; is_active: boolean } | null

/** What would be stored, but will not work or may surprise. For a draft whose config has its right shape. */
export type FindWarnings = (draft: Draft, key: NamedKey) => Promise<FieldError[]>

/** Why each of these entries of a catalogue could not be used in a run; absent: it can, or it is not there. */
export type CatalogueFaults = (ids: string[]) => Promise<Map<string, string>>

interface Deps {
  outbound: Pick<Outbound, 'checkResolved'>
  prices: Pick<Prices, 'find'>
  operatorKeys: OperatorKeys
  serverFaults: CatalogueFaults
  toolFaults: CatalogueFaults
}

/** Hosts that are looked up for one answer. */
const MAX_LOOKUPS = 20

export const createFindWarnings =
  ({ outbound, prices, operatorKeys, serverFaults, toolFaults }: Deps): FindWarnings =>
  async (draft, key) => [
    ...unreadKeys(draft),
    ...(draft.type === 'llm' && isKnownModel(draft.model ?? '') ? modelWarnings(draft.model ?? '', key, { prices, operatorKeys }) : []),
    ...promptWarnings(draft),
    ...emptyParts(draft),
    ...sharedNames(draft),
    ...secretsInClear(draft),
    ...(await unusable(draft, { serverFaults, toolFaults })),
    ...(await unreachable(draft, outbound)),
  ]

const warning = (pointer: string, code: string, message: string): FieldError => ({ pointer, code, message })

function unreadKeys({ type, config }: Draft): FieldError[] {
  const known = configKeysOf(type)
  return Object.entries(config).flatMap(([key, value]) =>
    known.has(key) || value === null
      ? []
      : [warning(`/config/${pointerPart(key)}`, 'unread-key', `Kept, but nothing reads it in an agent of type ${type}`)],
  )
}

function modelWarnings(model: string, key: NamedKey, { prices, operatorKeys }: Pick<Deps, 'prices' | 'operatorKeys'>): FieldError[] {
  const { provider } = parseModelId(model)
  const found: FieldError[] = []
  if (key === null && needsOwnKey(model, operatorKeys))
    found.push(warning('/api_key_id', 'no-provider-key', `Runs will fail: no key for ${provider} is named, and this server has none`))
  if (key?.is_active === false) found.push(warning('/api_key_id', 'key-inactive', 'Runs will fail: the key is switched off'))
  if (key !== null && familyOf(key.provider) !== familyOf(provider))
    found.push(warning('/api_key_id', 'key-of-another-provider', `The key is one for ${key.provider}, the model is called at ${provider}`))
  if (prices.find(model) === undefined)
    found.push(warning('/model', 'no-price', 'Nobody has told the price of this model: where a budget applies it counts as the dearest'))
  return found
}

/** Names that stand for one provider. */
const familyOf = (provider: string) => SAME_AS[provider.toLowerCase()] ?? provider.toLowerCase()
const SAME_AS: Record<string, string> = { google: 'gemini', together_ai: 'together' }

function promptWarnings({ type, instruction, role, goal }: Draft): FieldError[] {
  if (type !== 'llm') return []
  if (![instruction, role, goal].some((text) => text))
    return [warning('/instruction', 'no-instruction', 'The model is told nothing about what it is for')]
  return unknownVariables(instruction ?? '')
    .slice(0, 20)
    .map((name) =>
      warning(
        '/instruction',
        'unknown-variable',
        `{${name.slice(0, 100)}} stays as it is: the variables are ${PROMPT_VARIABLES.join(', ')}`,
      ),
    )
}

function emptyParts({ type, config }: Draft): FieldError[] {
  if (type === 'workflow') {
    const { nodes = [] } = (config.workflow ?? {}) as { nodes?: { type?: string }[] }
    if (nodes.length === 0) return [warning('/config/workflow/nodes', 'empty', 'Runs will fail: the workflow has no nodes')]
    return nodes.some((node) => node.type === 'agent-node')
      ? []
      : [warning('/config/workflow/nodes', 'empty', 'The workflow has no agent-node: nobody is asked anything')]
  }
  const { mcp_servers } = config as { mcp_servers?: { tools?: string[] | null }[] | null }
  if (type !== 'llm') return []
  return (mcp_servers ?? []).flatMap(({ tools }, index) =>
    tools == null || tools.length > 0
      ? []
      : [warning(`/config/mcp_servers/${index}/tools`, 'empty', 'No tool is chosen: the agent gets all tools of the server')],
  )
}

/** A model knows tools by their names alone. */
function sharedNames({ type, config }: Draft): FieldError[] {
  const names = type === 'llm' ? httpToolsOf(config).map(({ name }) => name) : []
  return names.flatMap((name, index) =>
    names.indexOf(name) === index
      ? []
      : [warning(`/config/custom_tools/http_tools/${index}/name`, 'shared-name', 'Another HTTP tool of this agent has the same name')],
  )
}

/** Values of variables and headers are sealed; anything else is stored and shown as it is. */
function secretsInClear({ config, instruction, role, goal, description }: Draft): FieldError[] {
  const found: FieldError[] = []
  const walk = (value: unknown, pointer: string) => {
    if (typeof value === 'string' && looksSecret(value))
      found.push(
        warning(
          pointer,
          'secret-in-clear',
          'This looks like a secret, and is stored and shown in clear here: headers, values and envs are sealed',
        ),
      )
    else if (Array.isArray(value)) for (const [index, item] of value.entries()) walk(item, `${pointer}/${index}`)
    else if (value !== null && typeof value === 'object')
      for (const [key, item] of Object.entries(value)) walk(item, `${pointer}/${pointerPart(key)}`)
  }
  walk({ description, role, goal, instruction, config: blankSecrets(config) }, '')
  return found
}

async function unusable(
  { type, config }: Draft,
  { serverFaults, toolFaults }: Pick<Deps, 'serverFaults' | 'toolFaults'>,
): Promise<FieldError[]> {
  const { servers, tools } = catalogueSupplies(type, config)
  const [ofServers, ofTools] = await Promise.all([serverFaults(servers.map(({ id }) => id)), toolFaults(tools.map(({ id }) => id))])
  const told = (entries: typeof servers, faults: Map<string, string>, code: string) =>
    entries.flatMap(({ id, pointer }) => {
      const fault = faults.get(id)
      return fault === undefined ? [] : [warning(`${pointer}/id`, code, fault)]
    })
  return [...told(servers, ofServers, 'server-unreachable'), ...told(tools, ofTools, 'tool-unusable')]
}

/** Where hosts lead to now; what the address itself forbids is a problem already. */
async function unreachable({ type, config }: Draft, outbound: Deps['outbound']): Promise<FieldError[]> {
  if (type !== 'llm') return []
  const addresses = [
    ...customServersOf(config).map(({ url }, index) => ({ url, pointer: `/config/custom_mcp_servers/${index}/url` })),
    ...httpToolsOf(config).map(({ endpoint }, index) => ({ url: endpoint, pointer: `/config/custom_tools/http_tools/${index}/endpoint` })),
  ]
  const asked = new Map<string, Promise<string | undefined>>()
  for (const { url } of addresses) {
    const { origin } = URL.canParse(url) ? new URL(url) : { origin: undefined }
    if (origin !== undefined && asked.size < MAX_LOOKUPS && !asked.has(origin)) asked.set(origin, whyNot(outbound, origin))
  }
  const found = await Promise.all(
    addresses.map(async ({ url, pointer }) => {
      const why = URL.canParse(url) ? await asked.get(new URL(url).origin) : undefined
      return why === undefined ? [] : [warning(pointer, 'unreachable', why)]
    }),
  )
  return found.flat()
}

async function whyNot(outbound: Deps['outbound'], url: string): Promise<string | undefined> {
  try {
    await outbound.checkResolved(url)
    return undefined
  } catch (error) {
    if (error instanceof DomainError) return error.message
    throw error
  }
}
