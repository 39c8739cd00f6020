/**
 * Reads the arguments, runs, and takes everything down that was started, last first, also after a signal. The exit code is 0 unless something broke,
 * 2 for arguments that are not understood.
 */
export async function runToEnd<O>(
  readArguments: () => O,
  run: (stack: AsyncDisposableStack, options: O) => Promise<void>,
  usage: string,
): Promise<never> {
  const stack = new AsyncDisposableStack()
  let stopping: Promise<void> | undefined
  /** Once, however often it is asked for. */
  const stop = () => {
    stopping ??= stack.disposeAsync()
    return stopping
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void stop().finally(() => process.exit(130)))
  const options = readOrExit(readArguments, usage)
  try {
    await run(stack, options)
  } catch (error) {
    // What breaks while we are being stopped broke because of it.
    if (stopping === undefined) process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : error}\n`)
    process.exitCode = 1
  } finally {
    await stop()
  }
  process.exit()
}

/** Ends the process with 2 where the arguments are not understood. */
export function readOrExit<O>(readArguments: () => O, usage: string): O {
  try {
    return readArguments()
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n\n${usage}\n`)
    process.exit(2)
  }
}
