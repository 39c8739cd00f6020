#!/usr/bin/env bash
# Agents: a folder, a provider key, an agent, a change, a team of agents.
. "$(dirname "$0")/lib.sh"
signed_up

say 'A folder, and the key of a model provider. The key is never shown again.'
FOLDER=$(post /api/v1/agents/folders "{\"client_id\":\"$CLIENT\",\"name\":\"Support\"}" "$AUTH" | field id)
post /api/v1/agents/apikeys "{\"client_id\":\"$CLIENT\",\"name\":\"OpenAI\",\"provider\":\"openai\",\"key_value\":\"sk-not-a-real-key-0000\"}" "$AUTH"

say 'An agent. demo/echo needs no key.'
AGENT=$(post /api/v1/agents/ "{\"client_id\":\"$CLIENT\",\"folder_id\":\"$FOLDER\",\"name\":\"guide\",\"type\":\"llm\",\"model\":\"demo/echo\",\"instruction\":\"Be kind.\",\"config\":{\"load_memory\":false}}" "$AUTH" | field id)

say 'A change: what is absent stays as it is.'
curl -sS -X PUT "$API/api/v1/agents/$AGENT" -H "$JSON" -H "$AUTH" -d '{"description":"Answers questions."}' | grep -o '"description":"[^"]*"'

say 'Two agents, one after the other.'
post /api/v1/agents/ "{\"client_id\":\"$CLIENT\",\"name\":\"team\",\"type\":\"sequential\",\"config\":{\"sub_agents\":[\"$AGENT\"]}}" "$AUTH" | grep -o '"type":"sequential"'

say 'All agents of the client, a page at a time; the total is in a header.'
curl -sS -D - -o /dev/null "$API/api/v1/agents/?limit=1" -H "$AUTH" -H "x-client-id: $CLIENT" | grep -i '^x-total-count'
