import { type Db, inTenantScope } from '~/platform/db'
import { createGathering } from '~/platform/gathering'
import { remember } from '~/platform/remember'
import { type LogChunk, saveLogs } from './queries/events'

/** Appends consecutive entries of a run's log if the run is still ours; false if it is not. Done twice, it changes nothing. */
export type SaveLog = (chunk: LogChunk) => Promise<boolean>

const MAX_CHUNKS = 100
const MAX_CLIENTS = 1000

/** Chunks of one client's runs that come at once, or while others are being written, share a statement. */
export function createSaveLog(db: Db): SaveLog {
  const clients = new Map<string, SaveLog>()
  return (chunk) => {
    const { clientId } = chunk.run
    const known = clients.get(clientId)
    if (known !== undefined) return known(chunk)
    const save = createGathering({
      most: MAX_CHUNKS,
      work: (chunks: LogChunk[]) => inTenantScope(clientId, () => saveLogs(db, chunks)),
    })
    remember(clients, clientId, save, MAX_CLIENTS)
    return save(chunk)
  }
}
