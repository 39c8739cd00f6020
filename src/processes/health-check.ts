const TIMEOUT_MS = 4000

/**
 * The container's health check, run by itself: whether the API of this container answers. A refusal (429) is an answer too. A worker listens nowhere, and
 * its supervisor starts it again when it ends.
 */
export async function isHealthy({ EVO_ROLE = '', PORT = '' }: Record<string, string | undefined>): Promise<boolean> {
  if (EVO_ROLE.trim() === 'worker') return true
  try {
    const answer = await fetch(`http://127.0.0.1:${PORT.trim() || 8000}/livez`, { signal: AbortSignal.timeout(TIMEOUT_MS) })
    return answer.status < 500
  } catch {
    return false // nobody listens, or nobody answers in time
  }
}

if (import.meta.main) process.exit((await isHealthy(process.env)) ? 0 : 1)
