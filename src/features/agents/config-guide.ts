import type { AgentType } from './table'

type Keys = Record<string, string>

const ANY: Keys = {
  api_key: 'the key that opens this agent to its users; made if absent, shown to its own client alone',
  run_timeout_seconds: 'seconds that a run may take, waiting not counted',
}

/** What the keys of `config` mean, for whoever writes one. That none is missing and none invented is for config-guide.test.ts. */
export const CONFIG_GUIDE: Record<AgentType, Keys> = {
  llm: {
    ...ANY,
    sub_agents: 'ids of agents that it may hand over to',
    agent_tools: 'ids of agents that it may call like tools',
    tools: '`[{id, envs}]`: HTTP tools of the catalogue, with their secrets',
    custom_tools:
      '`{http_tools: [{name, method, endpoint, description, headers, values, parameters, error_handling}]}`: HTTP tools of its own',
    mcp_servers: '`[{id, envs, tools}]`: MCP servers of the catalogue, with their secrets; `tools` names those that it may call, empty all',
    custom_mcp_servers: '`[{url, headers}]`: other MCP servers',
    require_approval: 'names of tools that somebody has to allow at each call',
    load_memory: 'true: it may look up earlier conversations',
    output_schema: 'the JSON Schema that its answer must fit',
    max_output_tokens: 'most tokens of one answer of the model',
    temperature: '0 to 2',
  },
  sequential: { ...ANY, sub_agents: 'ids of its agents, one after the other' },
  parallel: { ...ANY, sub_agents: 'ids of its agents, side by side' },
  loop: {
    ...ANY,
    sub_agents: 'ids of its agents, over and over',
    max_iterations: 'most rounds, 1 to 100; 5 if absent',
    condition: 'kept, not read',
  },
  task: {
    ...ANY,
    tasks: '`[{agent_id, description, expected_output, enabled_tools}]`; `{content}` in a description is what the user said',
    sub_agents: 'ids of agents that follow',
  },
  workflow: {
    ...ANY,
    workflow:
      '`{nodes, edges}` as the web frontend draws them: `start-node`, `agent-node` (`data.agent.id`), `message-node` (`data.message.content`), `delay-node` (`data.delay`), `condition-node` (`data.conditions`)',
    timeout: 'seconds that one of its agents may take, 300 if absent',
    sub_agents: 'ids of agents that follow',
  },
  a2a: {
    ...ANY,
    agent_card: 'copy of the remote card; made from `agent_card_url`',
    auth: '`{type: "apiKey", name, value}` or `{type: "bearer", token}`, sent to the origin of the card alone',
    timeout: 'seconds that one of its turns may take, 300 if absent',
    sub_agents: 'ids of agents that follow',
  },
}

/** As Markdown, for the API document. */
export const configGuide = () =>
  [
    '`config` by `type`. Keys of your own are kept. An agent of any type with `require_approval: true` is only run as a part of another one when somebody allows it.',
    ...Object.entries(CONFIG_GUIDE).map(
      ([type, keys]) =>
        `\n**${type}**\n\n${Object.entries(keys)
          .map(([key, meaning]) => `- \`${key}\`: ${meaning}`)
          .join('\n')}`,
    ),
  ].join('\n')
