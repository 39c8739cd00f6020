/** What the reference's clients ask as health: what of the protocol this server really does. */
export const describeA2a = (apiUrl: string): Record<string, unknown> => ({
  status: 'healthy',
  specification: 'A2A 1.0, A2A 0.3, and the dialect of Evo AI 0.1.0',
  specification_url: 'https://a2a-protocol.org/latest/specification/',
  compliance_level: 'JSON-RPC binding; tested with the official SDK @a2a-js/sdk',
  rpc_methods: {
    core: ['message/send', 'message/stream', 'SendMessage', 'SendStreamingMessage'],
    task_management: ['tasks/get', 'tasks/cancel', 'tasks/resubscribe', 'GetTask', 'ListTasks', 'CancelTask', 'SubscribeToTask'],
    push_notifications: [
      'tasks/pushNotificationConfig/set',
      'tasks/pushNotificationConfig/get',
      'tasks/pushNotificationConfig/list',
      'tasks/pushNotificationConfig/delete',
      'CreateTaskPushNotificationConfig',
      'GetTaskPushNotificationConfig',
      'ListTaskPushNotificationConfigs',
      'DeleteTaskPushNotificationConfig',
    ],
    agent_discovery: ['agent/authenticatedExtendedCard', 'agent/getAuthenticatedExtendedCard', 'GetExtendedAgentCard'],
  },
  endpoints: {
    agent_endpoint: `${apiUrl}/api/v1/a2a/{agent_id}`,
    agent_card: `${apiUrl}/api/v1/a2a/{agent_id}/.well-known/agent-card.json`,
  },
  data_objects: ['Task', 'TaskStatus', 'TaskState', 'Message', 'TextPart', 'FilePart', 'DataPart', 'Artifact', 'PushNotificationConfig'],
  features: {
    streaming: true,
    push_notifications: 'when a task needs somebody, and when it is over; retried eight times',
    tasks_survive_restarts: true,
    repeated_messages: 'the same message is the same task',
    files_by_address: false,
  },
  security: { schemes: ['x-api-key', 'Bearer'], scope: 'the key of an agent opens that agent alone' },
  extensions: {},
  compatibility_notes: [
    'Both `type` and `kind` are read and written in the parts of the Evo AI dialect.',
    'The version is chosen by the header A2A-Version, or a query parameter of that name; without one by the shape of the request.',
  ],
})
