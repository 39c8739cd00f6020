/** The chapters of the document, in their order. tests/http/docs.test.ts fails for a route whose tag is not here. */
export const TAGS: { name: string; description: string }[] = [
  { name: 'auth', description: 'Sign up, sign in, stay signed in, and the links of mails.' },
  { name: 'clients', description: 'The organisations. Each has its own people, agents and keys.' },
  { name: 'members', description: 'The people of a client: roles and invitations.' },
  { name: 'machine keys', description: 'Keys for programs of a client, each with its scopes.' },
  { name: 'agents', description: 'Define agents: their model, instruction, tools and sub-agents.' },
  { name: 'provider keys', description: 'Keys of model providers. They are stored encrypted and never shown again.' },
  { name: 'chat', description: 'Talk to an agent, with an access token or with the agent’s own key.' },
  { name: 'a2a', description: 'Each agent as an A2A server, for other agents.' },
  { name: 'sessions', description: 'Conversations and their events.' },
  { name: 'runs', description: 'Turns of a conversation: follow, resume and cancel them.' },
  { name: 'audit', description: 'Who did what. Each client has a chain of hashes, in which nothing can be changed unnoticed.' },
  { name: 'admin', description: 'For platform admins.' },
  { name: 'impersonation', description: 'Admins who act as a user of a client: for a short time, and under both names.' },
  { name: 'system', description: 'The server itself: its health and the pages that explain its problems.' },
]
