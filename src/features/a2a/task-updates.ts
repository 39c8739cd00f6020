import { type LogEvent, needsSomebody } from '~/features/runs/log-event'
import type { TaskUpdate } from '~/runtime/a2a/task'
import type { Part } from '~/runtime/types'
import { isShown } from './task-view'

/** A run's log as a task's progress. Ends with the run, or where it waits for somebody: still, when the log is read again, which `stillWaits` knows. */
export async function* updatesOf(
  entries: AsyncIterable<LogEvent | undefined>,
  stillWaits: () => Promise<boolean>,
): AsyncGenerator<TaskUpdate, void> {
  /** The step that speaks: the answer is what the last one said. */
  let step: unknown
  let said = ''
  let last: Part[] = []
  for await (const entry of entries) {
    if (entry === undefined) continue
    const { type, data } = entry
    switch (type) {
      case 'run-started':
        yield { kind: 'status', state: 'working', note: null }
        break
      case 'text-reset':
        step = undefined
        break
      case 'text-delta': {
        const isFirst = step !== data.step
        said = isFirst ? String(data.text) : said + String(data.text)
        step = data.step
        yield { kind: 'text', text: String(data.text), isFirst }
        break
      }
      case 'message': {
        const { event } = data as unknown as { event: { content: { parts: Part[] } } }
        const shown = event.content.parts.filter(isShown)
        if (shown.length > 0) last = shown
        break
      }
      case 'run-waiting':
        if (!needsSomebody(entry) || !(data.earlier_run_id !== undefined || (await stillWaits()))) break
        yield { kind: 'status', state: 'working', note: `Waiting: ${String(data.reason)}.` }
        return
      case 'run-finished': {
        const answer = last.length > 0 ? last : [{ text: String(data.response) }]
        if (answer.length !== 1 || answer[0]?.text !== said) yield { kind: 'answer', parts: answer }
        yield { kind: 'status', state: 'completed', note: null }
        return
      }
      case 'run-failed':
        yield { kind: 'status', state: 'failed', note: String(data.detail) }
        return
      case 'run-cancelled':
        yield { kind: 'status', state: 'canceled', note: null }
        return
    }
  }
}
