/** How many milliseconds the work takes by itself: the shortest of several times, since the machine may be busy with something else during one. */
export function shortestOf(times: number, work: () => unknown): number {
  const tries = Array.from({ length: times }, () => {
    const from = performance.now()
    work()
    return performance.now() - from
  })
  return Math.min(...tries)
}
