import { expect, test } from 'bun:test'
import { AggregatorRegistry } from 'prom-client'
import { createRequestFigures } from './request-figures'

test('prom-client adds up and writes what two processes have counted', async () => {
  const figuresOf = (process: string) => {
    const { count, figures } = createRequestFigures(process)
    for (const seconds of [0.005, 0.004, 0.2, 60]) count({ method: 'GET', route: '/a', status: 200, seconds })
    count({ method: 'GET', route: '/a', status: 404, seconds: 0.002 })
    return figures()
  }
  const text = await AggregatorRegistry.aggregate([figuresOf('one'), figuresOf('two')]).metrics()
  expect(text).toContain('evo_http_requests_total{method="GET",route="/a",status="200",process="one"} 4')
  expect(text).toContain('evo_http_requests_total{method="GET",route="/a",status="404",process="two"} 1')
  const within = [...text.matchAll(/^evo_http_request_seconds_bucket\{le="([^"]+)",method="GET",route="\/a",process="one"\} (\d+)$/gm)]
  expect(within.map(([, bound, count]) => `${bound}: ${count}`)).toEqual([
    ...['0.005: 3', '0.01: 3', '0.025: 3', '0.05: 3', '0.1: 3', '0.25: 4', '0.5: 4', '1: 4', '2.5: 4', '5: 4', '10: 4', '+Inf: 5'],
  ])
  expect(text).toContain('evo_http_request_seconds_count{method="GET",route="/a",process="one"} 5')
  expect(text).toMatch(/evo_http_request_seconds_sum\{method="GET",route="\/a",process="one"\} 60\.21/)
})
