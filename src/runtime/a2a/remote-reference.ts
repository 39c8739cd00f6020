import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { DomainError } from '~/platform/errors'
import type { Part } from '../types'
import type { Line } from './remote'
import { createRemoteAnswer } from './remote-answer'
import type { RemoteMessage, RemoteReply } from './types'

const Parts = Type.Array(
  Type.Object({
    text: Type.Optional(Type.String()),
    file: Type.Optional(
      Type.Object({ name: Type.Optional(Type.String()), mimeType: Type.Optional(Type.String()), bytes: Type.Optional(Type.String()) }),
    ),
  }),
)
const Answer = Type.Object({
  error: Type.Optional(Type.Object({ message: Type.String() })),
  result: Type.Optional(
    Type.Object({
      status: Type.Object({ state: Type.String(), message: Type.Optional(Type.Union([Type.Null(), Type.Object({ parts: Parts })])) }),
      artifacts: Type.Optional(
        Type.Union([Type.Null(), Type.Array(Type.Object({ artifactId: Type.Optional(Type.String()), parts: Parts }))]),
      ),
    }),
  ),
})

/** In the dialect of Evo AI 0.1.0, whose streams repeat themselves and change their ids: one message, one task. */
export async function sendByReference(
  { fetch: call, card, signal }: Line,
  message: RemoteMessage,
  onText: (piece: string) => void,
): Promise<RemoteReply> {
  const { messageId, contextId, text, files } = message
  const parts = [
    ...(text === '' ? [] : [{ type: 'text', kind: 'text', text }]),
    ...files.map(({ filename, mediaType, data }) => ({
      type: 'file',
      kind: 'file',
      file: { name: filename ?? 'file', mimeType: mediaType, bytes: data },
    })),
  ]
  const params = { contextId, message: { role: 'user', messageId, contextId, parts } }
  const response = await call(String(card.url), {
    method: 'POST',
    signal,
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: messageId, method: 'message/send', params }),
  })
  const { error, result } = await readAnswer(response)
  if (error !== undefined) throw new Error(error.message)
  if (!response.ok || result === undefined) throw new DomainError('upstream-error', `The remote agent answered with ${response.status}.`)
  const answer = createRemoteAnswer(onText)
  for (const [index, artifact] of (result.artifacts ?? []).entries())
    answer.artifact(artifact.artifactId ?? String(index), artifact.parts.map(readPart), false)
  if (result.status.message) answer.said(result.status.message.parts.map(readPart))
  if (!answer.state(result.status.state)) throw new DomainError('upstream-error', 'The remote agent has ended its answer without a result.')
  return answer.reply()
}

async function readAnswer(response: Response): Promise<Static<typeof Answer>> {
  try {
    return Value.Parse(Answer, JSON.parse(await response.text()))
  } catch (cause) {
    if (cause instanceof DomainError) throw cause
    throw new DomainError('upstream-error', `The remote agent answered with ${response.status} and no result.`, { cause })
  }
}

const readPart = ({ text, file }: Static<typeof Parts>[number]): Part =>
  file?.bytes === undefined
    ? { text: text ?? '' }
    : {
        inline_data: {
          data: file.bytes,
          mime_type: file.mimeType ?? 'application/octet-stream',
          ...(file.name === undefined ? {} : { metadata: { filename: file.name } }),
        },
      }
