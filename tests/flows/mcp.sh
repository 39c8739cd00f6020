#!/usr/bin/env bash
# MCP: the catalogue, which admins keep, and an agent that uses a server of it.
. "$(dirname "$0")/lib.sh"
signed_up
as_admin

say 'An admin adds a server to the catalogue. NAME stands for what each agent must supply.'
SERVER=$(post /api/v1/mcp-servers/ '{"name":"Search","description":"Finds things.","config_type":"sse","config_json":{"url":"https://mcp.example.com/sse","headers":{"authorization":"Bearer env@@SEARCH_KEY"}},"environments":{"SEARCH_KEY":"env@@SEARCH_KEY"},"tools":[{"id":"search","name":"search","description":"Search the web"}],"type":"community"}' "$ADMIN" | field id)

say 'Everybody sees it, without its secrets.'
get "/api/v1/mcp-servers/$SERVER" "$AUTH"

say 'An agent without the value that the server demands is refused, with it is made.'
agent() { post /api/v1/agents/ "{\"client_id\":\"$CLIENT\",\"name\":\"finder\",\"type\":\"llm\",\"model\":\"demo/echo\",\"config\":{\"mcp_servers\":[{\"id\":\"$SERVER\",\"envs\":$1,\"tools\":[\"search\"]}]}}" "$AUTH"; }
agent '{}'
echo
agent '{"SEARCH_KEY":"a-key-of-our-own"}' | grep -o '"mcp_servers":[^]]*]'
