/**
 * The catalogue's first entries, under the ids by which agents of the reference name them. Commands are pinned: what runs on our host changes
 * only when we say so. `env@@NAME` stands for what each agent supplies.
 */
export const OFFICIAL_MCP_SERVERS = [
  server('b73dc2e8-9d91-4167-a8f1-1102c42af3d2', 'Brave Search', 'Searches the web with Brave.', {
    args: ['-y', '@modelcontextprotocol/server-brave-search@0.6.2'],
    env: ['BRAVE_API_KEY'],
  }),
  server('49c7b182-b341-4cc4-864c-7ae623ba41a7', 'Github', 'Repositories, issues and pull requests on GitHub.', {
    args: ['-y', '@modelcontextprotocol/server-github@2025.4.8'],
    env: ['GITHUB_PERSONAL_ACCESS_TOKEN'],
  }),
  server('6e878520-4a49-45f8-b42c-621bffcf70bf', 'Sequential Thinking', 'Thinks a problem through step by step.', {
    args: ['-y', '@modelcontextprotocol/server-sequential-thinking@2026.8.31'],
    env: [],
  }),
  server('b626b528-13ac-4d63-aa74-c4acecde9e29', 'Gitlab', 'Projects, issues and merge requests on GitLab.', {
    args: ['-y', '@modelcontextprotocol/server-gitlab@2025.4.25'],
    env: ['GITLAB_PERSONAL_ACCESS_TOKEN', 'GITLAB_API_URL'],
  }),
  server('7bb73ef1-22da-4c05-a05d-d31db4243560', 'Airbnb', 'Searches lodgings on Airbnb.', {
    args: ['-y', '@openbnb/mcp-server-airbnb@0.3.0'],
    env: [],
  }),
  server('ae214cb1-92f0-473c-93a3-e2075884bf4d', 'Serper', 'Searches Google and reads pages with Serper.', {
    args: ['-y', 'serper-search-scrape-mcp-server@0.1.2'],
    env: ['SERPER_API_KEY'],
  }),
  server('01bcc7ef-a6a5-4264-9e47-9f565499eaaa', 'Firecrawl', 'Crawls and reads web pages with Firecrawl.', {
    args: ['-y', 'firecrawl-mcp@3.26.0'],
    env: ['FIRECRAWL_API_KEY'],
  }),
]

function server(id: string, name: string, description: string, { args, env }: { args: string[]; env: string[] }) {
  const environments = Object.fromEntries(env.map((variable) => [variable, `env@@${variable}`]))
  return {
    id,
    name,
    description,
    type: 'official' as const,
    configType: 'studio' as const,
    configJson: { command: 'npx', args, env: environments },
    environments,
  }
}
