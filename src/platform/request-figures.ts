export interface AnsweredRequest {
  method: string
  route: string
  status: number
  seconds: number
}

/** As prom-client's registries tell theirs. */
interface Figure {
  name: string
  help: string
  type: 'counter' | 'histogram'
  aggregator: 'sum'
  values: { metricName?: string; value: number; labels: Record<string, string | number> }[]
}

/** Of one method and route. */
interface Series {
  labels: { method: string; route: string }
  byStatus: Map<number, number>
  /** How many took no longer than each bound. */
  within: Float64Array
  count: number
  sum: number
}

const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const SECONDS = 'evo_http_request_seconds'

/**
 * A counter and a histogram of answered requests, for prom-client to add up and write. Counted here, since every request pays for it: prom-client makes
 * a text of the labels each time.
 */
export function createRequestFigures(process: string) {
  const routes = new Map<string, Map<string, Series>>()

  const seriesOf = (method: string, route: string): Series => {
    const methods = routes.get(route) ?? new Map<string, Series>()
    const known = methods.get(method)
    if (known !== undefined) return known
    const series = { labels: { method, route }, byStatus: new Map(), within: new Float64Array(BOUNDS.length), count: 0, sum: 0 }
    routes.set(route, methods.set(method, series))
    return series
  }

  const all = () => [...routes.values()].flatMap((methods) => [...methods.values()])

  return {
    count({ method, route, status, seconds }: AnsweredRequest) {
      const series = seriesOf(method, route)
      series.byStatus.set(status, (series.byStatus.get(status) ?? 0) + 1)
      series.count += 1
      series.sum += seconds
      for (let at = BOUNDS.length - 1; seconds <= (BOUNDS[at] ?? 0); at--) series.within[at] = (series.within[at] ?? 0) + 1
    },

    figures: (): Figure[] => [
      {
        name: 'evo_http_requests_total',
        help: 'Answered requests.',
        type: 'counter',
        aggregator: 'sum',
        values: all().flatMap(({ labels, byStatus }) =>
          [...byStatus].map(([status, value]) => ({ value, labels: { ...labels, status, process } })),
        ),
      },
      {
        name: SECONDS,
        help: 'Time to the end of the answer.',
        type: 'histogram',
        aggregator: 'sum',
        values: all().flatMap(({ labels, within, count, sum }) => {
          const value = (part: string, amount: number, le?: number | string) => ({
            metricName: `${SECONDS}_${part}`,
            value: amount,
            labels: { ...(le === undefined ? {} : { le }), ...labels, process },
          })
          return [
            ...BOUNDS.map((bound, at) => value('bucket', within[at] ?? 0, bound)),
            value('bucket', count, '+Inf'),
            value('sum', sum),
            value('count', count),
          ]
        }),
      },
    ],
  }
}
