import { a2a, contacts } from './rows/a2a-and-contacts'
import { admin, clients } from './rows/admin-and-clients'
import { agents } from './rows/agents'
import { auth } from './rows/auth'
import { links, people, root, secondFactors, signIns } from './rows/beyond-accounts'
import { a2aBeyond, limits, operator, runs, versions, webhooks } from './rows/beyond-work'
import { mcpServers, sessionsAndChat, tools } from './rows/catalogues-sessions-chat'
import { conventions, health } from './rows/conventions'
import { defects } from './rows/defects'
import { imports } from './rows/import'
import { folders, providerKeys } from './rows/keys-and-folders'
import type { Table } from './table'

/** The contract, section by section; then what this server has beyond it. */
export const TABLES: Table[] = [
  conventions,
  root,
  health,
  auth,
  links,
  admin,
  clients,
  providerKeys,
  folders,
  agents,
  imports,
  mcpServers,
  tools,
  sessionsAndChat,
  limits,
  a2a,
  a2aBeyond,
  contacts,
  signIns,
  secondFactors,
  people,
  runs,
  versions,
  webhooks,
  operator,
  defects,
]
