import { systemClock } from '../clock'

/** A pause that grows with the attempts and differs between callers, so that those who collided do not meet again. */
export const pauseBeforeRetry = (attempt: number) => systemClock.sleep((5 + Math.random() * 15) * 2 ** attempt)

export const MAX_RETRIES = 3
/** A call that is older is not worth another connection: it would outlive its caller's patience. */
export const RECONNECT_WITHIN_MS = 2000
