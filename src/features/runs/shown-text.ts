import type { Step } from '~/runtime/types'
import type { LogEvent } from './log-event'
import type { RunLog } from './run-log'

type Delta = Parameters<Step['emit']>[0]

/** What the watchers have seen of each step's text, from the log of an earlier execution. */
export interface ShownText {
  /**
   * Shows a step's text from where it stopped. A step that is executed again often says the same again: as long as it does, nothing is shown twice;
   * when it says something else, `text-reset` tells the watchers to forget the old pieces.
   */
  resume(step: string, log: Pick<RunLog, 'piece'>): { emit(delta: Delta): void; end(): void }
}

export function readShownText(entries: LogEvent[]): ShownText {
  const texts = new Map<string, string>()
  for (const { type, data } of entries) {
    const step = String(data.step)
    if (type === 'text-delta') texts.set(step, (texts.get(step) ?? '') + String(data.text))
    if (type === 'text-reset') texts.delete(step)
  }
  return {
    resume(step, log) {
      let owed = texts.get(step) ?? ''
      const repeats = owed !== ''
      let said = ''
      const startOver = () => {
        log.piece('text-reset', { step })
        owed = ''
        if (said !== '') log.piece('text-delta', { step, text: said })
      }
      return {
        emit({ type, text }) {
          if (type === 'reasoning') {
            // Reasoning is only for watching, and was watched the first time.
            if (!repeats) log.piece('reasoning-delta', { step, text })
            return
          }
          said += text
          if (owed === '') return log.piece('text-delta', { step, text })
          if (owed.startsWith(text)) owed = owed.slice(text.length)
          else if (text.startsWith(owed)) {
            const more = text.slice(owed.length)
            owed = ''
            log.piece('text-delta', { step, text: more })
          } else startOver()
        },
        end() {
          if (owed !== '') startOver()
        },
      }
    },
  }
}
