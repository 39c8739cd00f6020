import { type Options, readOptions, USAGE } from './options'
import { setQueues } from './queues'
import { machineLine, print } from './report'
import { runToEnd } from './run-to-end'
import { audit } from './scenarios/audit'
import { chat } from './scenarios/chat'
import { email } from './scenarios/email'
import { login } from './scenarios/login'
import { loginFlood } from './scenarios/login-flood'
import { create, list, read } from './scenarios/requests'
import { sockets } from './scenarios/sockets'
import { start } from './scenarios/start'
import { stream } from './scenarios/stream'
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
  if (scenarios.some((name) => !['email', 'audit', 'start'].includes(name))) {
    const own = stack.use(new AsyncDisposableStack())
    const stage = await setStage(own)
    if (wants('read')) print(await read(stage, options))
    if (wants('list')) print(await list(stage, options))
    if (wants('create')) print(await create(stage, options))
    if (wants('login')) print(await login(stage, options))
    if (wants('login-flood')) print(await loginFlood(stage, options))
    if (wants('chat')) for (const finding of await chat(stage, options)) print(finding)
    if (wants('stream')) for (const finding of await stream(stage, options)) print(finding)
    if (wants('sockets')) print(await sockets(stage, options))
    await own.disposeAsync()
  }
  if (wants('email') || wants('audit')) {
    const own = stack.use(new AsyncDisposableStack())
    const queues = await setQueues(own)
    if (wants('email')) for (const finding of await email(queues, options)) print(finding)
    if (wants('audit')) print(await audit(queues, options))
    await own.disposeAsync()
  }
  if (wants('start')) print(await start(stack, options))
}
