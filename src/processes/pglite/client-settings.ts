import type { Engine } from './engine'
import { type FrontendMessage, query, readErrorMessage } from './messages'

/** What `SET` and the startup message gave a connection; absent while it has the server's defaults. */
export interface SettingsOwner {
  settings: Map<string, string> | undefined
  /** Its prepared statements that change settings when they run. */
  readonly settingStatements: Set<string>
}

export type ClientSettings = ReturnType<typeof createClientSettings>

/**
 * Gives each connection its own session settings although one session serves all: before another connection's turn they are put away and the
 * other's are put in force. Connections that never `SET` anything cost nothing; `SET LOCAL` needs no help, it ends with its transaction.
 */
export const createClientSettings = ({ engine }: { engine: Engine }) => {
  let current: SettingsOwner | undefined
  let changed = false
  const customNames = new Set<string>()

  const leave = () => {
    if (current && changed) current.settings = readSettings(engine, customNames)
    if (current?.settings) engine.run(query(RESET))
    current = undefined
    changed = false
  }

  return {
    /** Only outside transactions. Returns what PostgreSQL says of settings that it refuses; the defaults are then in force. */
    enter(owner: SettingsOwner | undefined): string | undefined {
      if (owner === current) return undefined
      leave()
      const refusal = owner?.settings && readErrorMessage(engine.run(query(applying(owner.settings))))
      if (refusal === undefined) current = owner
      return refusal
    },

    /** Notes that `owner`, whose turn it is, may have changed its settings by these messages. */
    observe(owner: SettingsOwner, messages: FrontendMessage[]) {
      for (const message of messages) {
        const touches = message.sql !== undefined && changesSettings(message.sql)
        if (touches) for (const [name] of message.sql?.matchAll(CUSTOM_NAME) ?? []) if (customNames.size < 1000) customNames.add(name)
        if (message.type === 'P') owner.settingStatements[touches ? 'add' : 'delete'](message.statement ?? '')
        if (touches || (message.type === 'B' && owner.settingStatements.has(message.statement ?? ''))) changed = true
      }
    },

    /** Its connection is gone. */
    forget(owner: SettingsOwner) {
      if (owner === current) leave()
    },
  }
}

/** `SET` or `set_config` for the session, not for the transaction. Says yes too often rather than too rarely: that costs only time. */
function changesSettings(sql: string): boolean {
  if (/(?:^|;)\s*(?:set\s+(?!local\b|transaction\b|constraints\b)|reset\b|discard\b)/i.test(sql)) return true
  const calls = sql.match(/\bset_config\s*\(/gi)?.length ?? 0
  const local = sql.match(/\bset_config\s*\([^()]*,\s*true\s*\)/gi)?.length ?? 0
  return calls > local
}

const RESET = 'set session authorization default; reset role; reset all'

/** `app.tenant`: pg_settings does not list those. */
const CUSTOM_NAME = /\b[a-z_]\w*\.[a-z_]\w*/gi

/** `role` is not listed either. It comes last, because it may forbid the others. */
function readSettings(engine: Engine, customNames: Set<string>): Map<string, string> | undefined {
  const unlisted = [...customNames, 'role'].map((name) => `(${literal(name)}, current_setting(${literal(name)}, true))`)
  const rows = engine.rows(
    `select name, setting from pg_catalog.pg_settings where source = 'session'
     union all select name, value from (values ${unlisted}) as unlisted (name, value) where value not in ('', 'none')`,
  )
  return rows.length === 0 ? undefined : new Map(rows.map(([name, value]) => [name ?? '', value ?? '']))
}

function applying(settings: Map<string, string>): string {
  const calls = [...settings].map(([name, value]) => `pg_catalog.set_config(${literal(name)}, ${literal(value)}, false)`)
  return `select ${calls.join(', ')}`
}

const literal = (text: string) => `'${text.replaceAll("'", "''")}'`
