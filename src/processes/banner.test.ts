import { expect, test } from 'bun:test'
import { loadConfig } from '~/config'
import { banner } from './banner'

const shownFor = (env: Record<string, string>) => {
  const config = loadConfig(env)
  return banner({ config, given: config, adminPassword: undefined, seconds: 1 })
}

test('the banner names the stores and nothing of their passwords, whatever these are made of', () => {
  const text = shownFor({
    DATABASE_URL: 'postgres://evo:12,s3cr,et@db:5433,other/evo?sslmode=require',
    REDIS_URL: 'redis://:hunter,22@cache:6380/3',
  })
  expect(text).toContain('PostgreSQL  db:5433/evo\n')
  expect(text).toContain('Redis       cache:6380/3\n')
})

test('of several servers it names the first', () => {
  const text = shownFor({
    DATABASE_URL: 'postgres://evo@[::1]:5432,[::2]/evo',
    REDIS_URL: 'redis://:hunter22@one:7000,redis://:hunter22@two:7000',
    REDIS_CLUSTER: 'true',
  })
  expect(text).toContain('PostgreSQL  [::1]:5432/evo\n')
  expect(text).toContain('Redis       one:7000\n')
  expect(text).not.toContain('hunter22')
})
