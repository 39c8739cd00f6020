import type { Dial } from './connection'
import { toServer } from './server-config'
import type { DiscoverTools } from './types'

const PATIENCE_MS = 60_000
/** Most servers only want to find something there before they tell what they can do. */
const NOT_GIVEN = 'not-given'

export const createDiscoverTools =
  ({ dial, allowedCommands }: { dial: Dial; allowedCommands: readonly string[] }): DiscoverTools =>
  async ({ configJson, envs = {} }, signal = AbortSignal.timeout(PATIENCE_MS)) => {
    const connection = await dial(toServer(configJson, envs, allowedCommands, NOT_GIVEN), signal)
    await connection.close()
    return connection.tools
  }
