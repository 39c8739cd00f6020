#!/usr/bin/env bash
# Chat: a whole answer, a stream, coming back to a stream, with the agent's own key, and what was said.
. "$(dirname "$0")/lib.sh"
signed_up
ANSWER=$(post /api/v1/agents/ "{\"client_id\":\"$CLIENT\",\"name\":\"guide\",\"type\":\"llm\",\"model\":\"demo/echo\",\"config\":{}}" "$AUTH")
AGENT=$(field id <<<"$ANSWER")
KEY=$(field api_key <<<"$ANSWER")

say 'A whole answer.'
post "/api/v1/chat/$AGENT/user-1" '{"message":"What is new?"}' "$AUTH" | grep -o '"response":"[^"]*"'

say 'As it comes: server-sent events.'
STREAM=$(post "/api/v1/chat/$AGENT/user-1?stream=true" '{"message":"Tell me more"}' "$AUTH")
grep '^event:' <<<"$STREAM"
RUN=$(field run_id <<<"$STREAM")

say 'Whoever lost the stream comes back to where it was, at any process.'
get "/api/v1/runs/$RUN/events" "$AUTH" 'last-event-id: 2' | grep -c '^event:'

say "The agent's own key opens this agent and nothing else."
post "/api/v1/chat/$AGENT/user-2" '{"message":"Hello"}' "x-api-key: $KEY" | grep -o '"response":"[^"]*"'

say 'What was said.'
get "/api/v1/sessions/user-1_$AGENT/messages" "$AUTH" | grep -o '"author":"[^"]*"'
