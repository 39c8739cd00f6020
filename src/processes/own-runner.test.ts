import { expect, test } from 'bun:test'
import { loadConfig } from '~/config'
import { withRunner } from './own-runner'

const SECRETS = {
  JWT_SECRET_KEY: 'kR7v0QmX2nTz9LpW4sYc6HdJ8fGb1AeU',
  ENCRYPTION_KEY: 'uA3b1GfJ8dHc6YsWs4LpW9zTn2XmQ0vR7',
  DATABASE_URL: 'postgres://evo:hunter2@db/evo',
  REDIS_URL: 'redis://:hunter2@cache',
  SENDGRID_API_KEY: 'SG.key',
  OPENAI_API_KEY: 'sk-operators',
}
const runnerOf = (env: Record<string, string>) => withRunner(loadConfig(env), env)

test('a runner of our own starts in production, is known to the others alone, and gets none of their secrets', async () => {
  const machine = { PATH: '/bin', NODE_EXTRA_CA_CERTS: '/etc/authorities.pem' }
  const { env, runnerEnv } = await runnerOf({ ...SECRETS, ...machine, NODE_ENV: 'production', MCP_STDIO_COMMANDS: 'npx' })
  const runner = loadConfig(runnerEnv ?? {})
  expect(runner).toMatchObject({ role: 'runner', host: '127.0.0.1', mcp: { commands: ['npx'] } })
  expect(env).toMatchObject({ MCP_RUNNER_URL: `http://127.0.0.1:${runner.port}`, MCP_RUNNER_TOKEN: runner.mcp.runnerToken })
  expect(runnerEnv).toMatchObject(machine)
  for (const secret of [...Object.values(SECRETS), 'hunter2']) expect(JSON.stringify(runnerEnv)).not.toContain(secret)
})

test('there is none where commands are turned off or run elsewhere, nor in a container of one other role', async () => {
  const token = { MCP_RUNNER_TOKEN: SECRETS.JWT_SECRET_KEY }
  for (const env of [{ MCP_STDIO: 'off' }, { MCP_RUNNER_URL: 'http://runner:8000', ...token }, { EVO_ROLE: 'api' }, { EVO_ROLE: 'worker' }])
    expect((await runnerOf({ ...SECRETS, ...env })).runnerEnv).toBeUndefined()
  expect((await runnerOf({ EVO_ROLE: 'runner', PORT: '9000', ...token, ...SECRETS })).runnerEnv).toMatchObject({ PORT: '9000', ...token })
  expect(() => loadConfig({ NODE_ENV: 'production', EVO_ROLE: 'runner' })).toThrow('MCP_RUNNER_TOKEN')
  expect(() => loadConfig({ MCP_RUNNER_URL: 'http://runner:8000' })).toThrow('MCP_RUNNER_TOKEN')
})
