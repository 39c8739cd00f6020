import {
  isJSONRPCRequest,
  ProtocolError,
  SdkError,
  SdkErrorCode,
  SdkHttpError,
  type StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client'
import { DomainError } from '~/platform/errors'

const MAX_SHOWN = 500
/** Of the codes that JSON-RPC leaves to implementations. */
const STREAM_ENDED = -32_098
const STREAM_END = 'The MCP server ended the stream without an answer.'

/** What went wrong between us and a server, in the product's words. `fault` is our own guard's, which the SDK may have wrapped. */
export function toFailure(error: unknown, fault?: DomainError): DomainError {
  if (error instanceof DomainError) return error
  if (hasCode(error, SdkErrorCode.RequestTimeout))
    return new DomainError('upstream-timeout', 'The MCP server did not answer in time.', { cause: error })
  if (hasCode(error, SdkErrorCode.InvalidResult))
    return new DomainError('upstream-error', 'The answer of the MCP server does not fit the protocol.', { cause: error })
  if (ProtocolError.isInstance(error) && error.code === STREAM_ENDED) return new DomainError('upstream-error', STREAM_END, { cause: error })
  if (ProtocolError.isInstance(error)) return new DomainError('upstream-error', `The MCP server refused: ${shown(error)}`, { cause: error })
  if (fault !== undefined) return fault
  if (hasCode(error, SdkErrorCode.ConnectionClosed)) return new DomainError('upstream-error', STREAM_END, { cause: error })
  if (SdkHttpError.isInstance(error))
    return new DomainError('upstream-error', `The MCP server answered with HTTP status ${error.status}.`, { cause: error })
  return new DomainError('upstream-error', 'The MCP server could not be reached, or does not speak the protocol.', { cause: error })
}

/** The SDK would wait for the answer until its time is over; a stream that has ended, and is not to be resumed, brings none. What was answered before stays. */
export function failAtStreamEnd(transport: StreamableHTTPClientTransport): StreamableHTTPClientTransport {
  const send = transport.send.bind(transport)
  transport.send = (message, options) => {
    const onRequestStreamEnd = () => {
      options?.onRequestStreamEnd?.()
      if (isJSONRPCRequest(message))
        transport.onmessage?.({ jsonrpc: '2.0', id: message.id, error: { code: STREAM_ENDED, message: STREAM_END } })
    }
    return send(message, { ...options, onRequestStreamEnd })
  }
  return transport
}

/** The server has forgotten the session that the connection belongs to; it did not do what it was asked. */
export const isSessionLost = (error: unknown) => SdkHttpError.isInstance(error) && error.status === 404

/** The connection is of no use any more. A refusal of the server, and one answer that was late or of no use, say nothing about the next call. */
export const isBroken = (error: unknown) => !ProtocolError.isInstance(error) && !OF_ONE_CALL.some((code) => hasCode(error, code))

const OF_ONE_CALL = [SdkErrorCode.RequestTimeout, SdkErrorCode.InvalidResult]

const hasCode = (error: unknown, code: SdkErrorCode) => SdkError.isInstance(error) && error.code === code

const shown = ({ message }: Error) => message.replace(/[\p{Cc}\p{Cs}]+/gu, ' ').slice(0, MAX_SHOWN)
