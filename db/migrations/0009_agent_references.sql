-- The agents that a definition names: in lists of sub-agents and agent tools, in the tasks of a task agent, in the nodes of a workflow.
create function agent_targets(type text, config jsonb) returns text[] language sql immutable parallel safe
  return (
    select coalesce(array_agg(distinct lower(found.target #>> '{}')), '{}')
    from (
      select jsonb_path_query(config, '$.sub_agents[*] ? (@.type() == "string")') as target
      union all
      select jsonb_path_query(config, '$.agent_tools[*] ? (@.type() == "string")')
      union all
      select jsonb_path_query(config, '$.tasks[*].agent_id ? (@.type() == "string")') where type = 'task'
      union all
      select jsonb_path_query(config, '$.workflow.nodes[*] ? (@.type == "agent-node").data.agent.id ? (@.type() == "string")') where type = 'workflow'
    ) found
  );
