import { type Options, readOptions, USAGE } from './options'
import { machineLine, print } from './report'
import { runToEnd } from './run-to-end'
import { chat } from './scenarios/chat'
import { login } from './scenarios/login'
import { loginFlood } from './scenarios/login-flood'
import { create, list, read } from './scenarios/requests'
import { start } from './scenarios/start'
import { setStage } from './stage'
import { demandWrk } from './wrk'

/**
 * Measures the server against a bare floor (floor.ts). It says what is below its goal and does not judge: the exit code is 0 unless something broke.
 */
await runToEnd(() => readOptions(process.argv.slice(2)), run, USAGE)

async function run(stack: AsyncDisposableStack, options: Options) {
  const { scenarios, rounds, seconds } = options
  const wants = (name: (typeof scenarios)[number]) => scenarios.includes(name)
  if (wants('read') || wants('list') || wants('create')) await demandWrk()
  process.stdout.write(
    `${await machineLine()}\n${rounds} rounds of ${seconds} s a side, after one to warm up; medians, and least to most of the rounds\n`,
  )
  if (scenarios.some((name) => name !== 'start')) {
    const own = stack.use(new AsyncDisposableStack())
    const stage = await setStage(own)
    if (wants('read')) print(await read(stage, options))
    if (wants('list')) print(await list(stage, options))
    if (wants('create')) print(await create(stage, options))
    if (wants('login')) print(await login(stage, options))
    if (wants('login-flood')) print(await loginFlood(stage, options))
    if (wants('chat')) for (const finding of await chat(stage, options)) print(finding)
    await own.disposeAsync()
  }
  if (wants('start')) print(await start(stack, options))
}
