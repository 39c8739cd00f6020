import { t } from 'elysia'
import type { AgentEvent, Part } from '~/runtime/types'

const Nullable = t.Any

const EventPart = t.Object({
  text: t.Nullable(t.String()),
  thought: Nullable(),
  inline_data: Nullable(),
  file_data: Nullable(),
  function_call: Nullable(),
  function_response: Nullable(),
  executable_code: Nullable(),
  code_execution_result: Nullable(),
  video_metadata: Nullable(),
})

/** An event as the API shows it: snake_case, unused keys null. */
export const SessionEvent = t.Object(
  {
    id: t.String(),
    invocation_id: t.String(),
    author: t.String(),
    timestamp: t.Number({ description: 'Seconds since the epoch.' }),
    content: t.Object({ role: t.String(), parts: t.Array(EventPart) }),
    actions: t.Record(t.String(), t.Any()),
    long_running_tool_ids: t.Nullable(t.Array(t.String())),
    branch: t.Nullable(t.String()),
    partial: t.Nullable(t.Boolean()),
    turn_complete: t.Nullable(t.Boolean()),
    error_code: t.Nullable(t.String()),
    error_message: t.Nullable(t.String()),
    interrupted: t.Nullable(t.Boolean()),
    grounding_metadata: Nullable(),
  },
  { title: 'SessionEvent' },
)
export type SessionEvent = typeof SessionEvent.static

export interface StoredEvent {
  id: string
  runId: string | null
  author: string
  content: AgentEvent['content']
  actions: Record<string, unknown>
  branch: string | null
  errorCode: string | null
  errorMessage: string | null
  timestamp: number
}

export const showEvent = (event: StoredEvent): SessionEvent => ({
  id: event.id,
  invocation_id: event.runId ?? event.id,
  author: event.author,
  timestamp: event.timestamp,
  // What belongs to a model's provider is nobody else's business.
  content: { role: event.content.role, parts: event.content.parts.filter((part) => part.provider_state === undefined).map(showPart) },
  actions: {
    skip_summarization: null,
    state_delta: {},
    artifact_delta: {},
    transfer_to_agent: null,
    escalate: null,
    requested_auth_configs: {},
    ...event.actions,
  },
  long_running_tool_ids: null,
  branch: event.branch,
  partial: null,
  turn_complete: null,
  error_code: event.errorCode,
  error_message: event.errorMessage,
  interrupted: null,
  grounding_metadata: null,
})

const showPart = (part: Part) => ({
  text: part.text ?? null,
  thought: null,
  inline_data: part.inline_data ?? null,
  file_data:
    part.file_data === undefined
      ? null
      : { file_uri: part.file_data.file_uri, mime_type: part.file_data.mime_type, display_name: part.file_data.display_name },
  function_call: part.function_call ?? null,
  function_response: part.function_response ?? null,
  executable_code: part.executable_code ?? null,
  code_execution_result: part.code_execution_result ?? null,
  video_metadata: null,
})
