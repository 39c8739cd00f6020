import { parseArgs } from 'node:util'

/**
 * The modes and the number that a drill is asked for. @throws Error naming what is not understood: a drill that is asked for nothing that it knows would do
 * nothing, and pass.
 */
export function readDrill<Mode extends string>(args: string[], { modes, counted }: { modes: readonly Mode[]; counted: string }) {
  const { values } = parseArgs({ args, options: { ...(modes.length > 0 && { mode: { type: 'string' } }), [counted]: { type: 'string' } } })
  const { mode, [counted]: count } = values as Record<string, string | undefined>
  if (count !== undefined && !/^[1-9]\d{0,7}$/.test(count)) throw new Error(`--${counted} must be a whole number from 1`)
  return { modes: mode?.split(',').map((name) => oneOf(modes, name)), count: count === undefined ? undefined : Number(count) }
}

function oneOf<Mode extends string>(modes: readonly Mode[], name: string): Mode {
  const found = modes.find((mode) => mode === name)
  if (found === undefined) throw new Error(`--mode must be one or some of ${modes.join(',')}`)
  return found
}
