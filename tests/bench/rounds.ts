/** One side of a comparison: puts load on it for one round. */
export type Side<T> = (round: number) => Promise<T>

/**
 * Both sides by turns, never at the same time, and each of them first in every other round, so that a slow phase of the machine hits both.
 * The first round warms up and is not among the results.
 */
export async function alternate<T>(rounds: number, sides: { server: Side<T>; floor: Side<T> }): Promise<{ server: T; floor: T }[]> {
  const results: { server: T; floor: T }[] = []
  for (let round = 0; round <= rounds; round++) {
    const serverFirst = round % 2 === 0
    const before = serverFirst ? await sides.server(round) : await sides.floor(round)
    const after = serverFirst ? await sides.floor(round) : await sides.server(round)
    if (round > 0) results.push(serverFirst ? { server: before, floor: after } : { server: after, floor: before })
  }
  return results
}

export function median(values: number[]): number {
  return quantile(values, 0.5)
}

/** Between the two nearest values. */
export function quantile(values: number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (sorted.length - 1) * q
  const below = sorted[Math.floor(at)] ?? Number.NaN
  const above = sorted[Math.ceil(at)] ?? Number.NaN
  return below + (above - below) * (at - Math.floor(at))
}
