export interface Persona {
  instruction: string | null
  role: string | null
  goal: string | null
}

/**
 * The system prompt: the instruction with its date variables filled in, behind the goal and the role.
 * Braces that name no variable stay as they are: prompts are full of JSON.
 */
export function systemPrompt({ instruction, role, goal }: Persona, at: Date): string | undefined {
  const variables = dateVariables(at)
  const text = (instruction ?? '').replace(VARIABLE, (match, name: string) => variables[name] ?? match)
  const parts = [tagged('agent_goal', goal), tagged('agent_role', role), text].filter((part) => part !== '')
  return parts.length > 0 ? parts.join('\n\n') : undefined
}

/** What braces in an instruction name that is no variable, each once. */
export function unknownVariables(instruction: string): string[] {
  const names = [...instruction.matchAll(VARIABLE)].map(([, name = '']) => name)
  return [...new Set(names)].filter((name) => !PROMPT_VARIABLES.includes(name))
}

const VARIABLE = /\{(\w+)\}/g

const tagged = (tag: string, text: string | null) => (text === null || text === '' ? '' : `<${tag}>${text}</${tag}>`)

const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']

/** In UTC: replicas may live in different zones. */
function dateVariables(at: Date): Record<string, string> {
  const iso = at.toISOString()
  const [year, month, day] = iso.slice(0, 10).split('-')
  const time = iso.slice(11, 16)
  return {
    current_datetime: `${day}/${month}/${year} ${time}`,
    current_day_of_week: WEEKDAYS[at.getUTCDay()] as string,
    current_date_iso: iso.slice(0, 10),
    current_time: time,
  }
}

/** What braces in an instruction may name. */
export const PROMPT_VARIABLES = Object.keys(dateVariables(new Date(0)))
