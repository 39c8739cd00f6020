import { DomainError } from '~/platform/errors'
import type { Part } from '../types'
import type { RemoteReply } from './types'

/** What comes of one message, put together from whatever the other side sends: chunks, whole texts, tasks. */
export interface RemoteAnswer {
  artifact(id: string, parts: Part[], append: boolean): void
  /** What the agent says with its state; all of it each time. */
  said(parts: Part[]): void
  /** True once nothing more comes. @throws DomainError when it came to nothing */
  state(name: string): boolean
  reply(): RemoteReply
}

const MAX_TEXT = 500

export function createRemoteAnswer(onText: (piece: string) => void): RemoteAnswer {
  const artifacts = new Map<string, Part[]>()
  let message: Part[] = []
  let shown = ''
  let inputRequired = false

  /** Pieces cannot be taken back: of a text that begins otherwise than what was shown only the whole is told, in the end. */
  const show = (text: string) => {
    if (!text.startsWith(shown) || text.length === shown.length) return
    onText(text.slice(shown.length))
    shown = text
  }
  const textOf = (parts: Part[]) => parts.map(({ text }) => text ?? '').join('')
  const all = () => [...artifacts.values()].flat()

  return {
    artifact(id, parts, append) {
      artifacts.set(id, joined(append ? (artifacts.get(id) ?? []) : [], parts))
      show(textOf(all()))
    },
    said(parts) {
      message = parts
      if (artifacts.size === 0) show(textOf(parts))
    },
    state(name) {
      switch (name) {
        case 'completed':
          return true
        case 'input-required':
          inputRequired = true
          return true
        case 'failed':
        case 'rejected':
        case 'canceled':
        case 'auth-required':
          throw new DomainError(
            'upstream-error',
            `The remote agent ended with ${name}: ${textOf(message).slice(0, MAX_TEXT) || 'no reason given'}`,
          )
        default:
          return false
      }
    },
    reply: () => ({ parts: artifacts.size > 0 && !inputRequired ? all() : message.length > 0 ? message : all(), inputRequired }),
  }
}

/** A chunk of text goes on with the text before it. */
function joined(before: Part[], more: Part[]): Part[] {
  const parts = [...before]
  for (const part of more) {
    const last = parts.at(-1)
    if (part.text !== undefined && last?.text !== undefined) parts[parts.length - 1] = { text: last.text + part.text }
    else parts.push(part)
  }
  return parts
}
