import type { Config } from '~/config'
import { createSubscribe } from '~/features/webhooks/service'
import { createAdmission } from '~/platform/admission'
import { createAttempts } from '~/platform/attempts'
import { systemClock } from '~/platform/clock'
import { createDefinitionCache } from '~/platform/definition-cache'
import type { Log } from '~/platform/log'
import { createOutbound } from '~/platform/outbound'
import { createRelay } from '~/platform/outbox/relay'
import { createPasswords } from '~/platform/passwords/passwords'
import { createRoom } from '~/platform/room'
import { createTokens } from '~/platform/tokens'
import { createWrite } from '~/platform/unit-of-work'
import { createPrices } from '~/runtime/model/prices'
import { openStores } from '../stores'

export type Machinery = ReturnType<typeof createMachinery>

/** What every service stands on: the stores, and the platform's parts with this process's settings. Opened here, closed by `close`. */
export function createMachinery(config: Config, { log, name }: { log: Log; name: string }) {
  const stores = openStores(config, { name, log })
  const { database, redis } = stores
  const { access, rates, limits } = config
  const relay = createRelay({ database, redis, log })
  const definitions = createDefinitionCache({ redis })
  const passwords = createPasswords({ cost: access.bcryptCost })
  return {
    log,
    clock: systemClock,
    stores,
    db: database.db,
    redis,
    definitions,
    secrets: stores.secrets,
    linkKeys: stores.linkKeys,
    refreshKeys: stores.refreshKeys,
    write: createWrite({ database, relay, subscribe: createSubscribe({ clock: systemClock }), definitions }),
    passwords,
    attempts: createAttempts({
      db: database.db,
      keys: stores.linkKeys,
      max: access.maxLoginAttempts,
      windowSeconds: access.lockoutMinutes * 60,
    }),
    tokens: createTokens({
      secrets: [access.jwtSecret ?? '', ...access.jwtPreviousSecrets],
      issuer: access.issuer,
      audience: access.audience,
      lifetimeSeconds: access.accessTokenSeconds,
    }),
    admission: createAdmission({
      redis,
      perMinute: {
        'sign-in': rates.signInPerMinute,
        read: rates.requestsPerMinute,
        write: rates.writesPerMinute,
        chat: rates.chatsPerMinute,
        refused: rates.refusedPerMinute,
      },
      processes: rates.replicas * config.apiProcesses,
      tokenLifetimeSeconds: access.accessTokenSeconds,
    }),
    outbound: createOutbound({
      allow: config.outboundAllow,
      log,
      defaults: { timeoutMs: limits.toolTimeoutMs, maxBytes: limits.toolResponseBytes },
    }),
    room: createRoom({ maxBytes: limits.heldBytes }),
    prices: createPrices(config.runs.prices),
    operatorKeys: { openai: config.models.openaiKey, anthropic: config.models.anthropicKey, gemini: config.models.geminiKey },
    async close() {
      passwords.close()
      await relay.close()
      await stores.close()
    },
  }
}
