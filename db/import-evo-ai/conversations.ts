import { createHash } from 'node:crypto'
import { and, eq, inArray, or } from 'drizzle-orm'
import { agents } from '~/features/agents/table'
import { contacts } from '~/features/contacts/table'
import { events, sessions } from '~/features/sessions/table'
import type { SourceRows } from './source'
import { asObject, idsOf, isUuid, onlyNew, type World } from './world'

/** `{external id}_{agent id}`, as ids of sessions are here: 0.1.0 made them so, other writers of its tables did not. */
const sessionIdOf = ({ app_name, user_id }: { app_name: string; user_id: string }) => `${user_id}_${app_name.toLowerCase()}`

export async function bringSessions(world: World, rows: SourceRows['sessions'][]) {
  const { tx, report } = world
  const named = [...new Map(rows.map((row) => [sessionIdOf(row), { ...row, id: sessionIdOf(row), was: row.id }])).values()]
  for (const row of rows.length > named.length ? rows : [])
    if (named.every(({ was, id }) => id !== sessionIdOf(row) || was !== row.id))
      report.leaveOut('sessions', row.id, 'another session of the same agent and user came over; its events are joined to that one')
  const fresh = await onlyNew(world, 'sessions', sessions, named)
  const agentIds = fresh.map(({ app_name }) => app_name.toLowerCase()).filter(isUuid)
  const owners = new Map(
    agentIds.length === 0
      ? []
      : (await tx.select({ id: agents.id, clientId: agents.clientId }).from(agents).where(inArray(agents.id, agentIds))).map(
          ({ id, clientId }) => [id, clientId] as const,
        ),
  )
  const sound = fresh.flatMap((row) => {
    const clientId = owners.get(row.app_name.toLowerCase())
    const reason =
      clientId === undefined
        ? 'its agent is gone'
        : row.user_id === '' || row.user_id.length > 128
          ? 'its user id is empty or too long'
          : undefined
    if (reason !== undefined) report.leaveOut('sessions', row.was, reason)
    return clientId === undefined || reason !== undefined ? [] : [{ ...row, clientId }]
  })
  if (sound.length === 0) return
  const contactIds = await contactsOf(world, sound)
  await tx.insert(sessions).values(
    sound.map(({ id, app_name, user_id, clientId, state, create_time, update_time }) => ({
      id,
      clientId,
      agentId: app_name.toLowerCase(),
      externalId: user_id,
      contactId: contactIds.get(`${clientId}:${user_id}`) ?? null,
      state: asObject(state),
      createdAt: create_time,
      updatedAt: update_time,
    })),
  )
  report.imported('sessions', sound.length)
  for (const { id, was } of sound)
    if (id !== was.toLowerCase() && id !== was) report.change('sessions', was, 'its id is made of user and agent now')
}

/** Whoever talked to an agent is a contact of the agent's client. */
async function contactsOf({ tx }: World, people: { clientId: string; user_id: string }[]): Promise<Map<string, string>> {
  const distinct = [...new Map(people.map(({ clientId, user_id }) => [`${clientId}:${user_id}`, { clientId, extId: user_id }])).values()]
  await tx.insert(contacts).values(distinct).onConflictDoNothing()
  const rows = await tx
    .select({ id: contacts.id, clientId: contacts.clientId, extId: contacts.extId })
    .from(contacts)
    .where(or(...distinct.map(({ clientId, extId }) => and(eq(contacts.clientId, clientId), eq(contacts.extId, extId)))))
  return new Map(rows.map(({ id, clientId, extId }) => [`${clientId}:${extId}`, id]))
}

export async function bringEvents(world: World, rows: SourceRows['events'][]) {
  const { tx, report } = world
  const named = rows.map((row) => ({ ...row, id: eventIdOf(row), was: row.id, sessionId: sessionIdOf(row) }))
  const fresh = await onlyNew(world, 'events', events, named)
  const sessionIds = [...new Set(fresh.map(({ sessionId }) => sessionId))]
  const owners = new Map(
    (await idsOf(tx, sessions, sessionIds)).size === 0
      ? []
      : (await tx.select({ id: sessions.id, clientId: sessions.clientId }).from(sessions).where(inArray(sessions.id, sessionIds))).map(
          ({ id, clientId }) => [id, clientId] as const,
        ),
  )
  const sound = fresh.flatMap((row) => {
    const clientId = owners.get(row.sessionId)
    const parts = partsOf(row.content)
    const reason =
      clientId === undefined
        ? 'its session did not come over'
        : row.partial === true
          ? 'a piece of a message that was also stored whole'
          : parts.length === 0 && row.error_message === null
            ? 'it says nothing'
            : undefined
    if (reason !== undefined) report.leaveOut('events', row.was, reason)
    return clientId === undefined || reason !== undefined ? [] : [{ ...row, clientId, parts }]
  })
  if (sound.length === 0) return
  await tx.insert(events).values(
    sound.map(({ id, clientId, sessionId, author, branch, timestamp, content, parts, error_code, error_message }) => ({
      id,
      clientId,
      sessionId,
      author: author || 'user',
      content: { role: asObject(content).role === 'user' ? 'user' : 'model', parts },
      branch,
      errorCode: error_code,
      errorMessage: error_message,
      createdAt: timestamp,
    })),
  )
  report.imported('events', sound.length)
}

/** The same at every import. 0.1.0's ids are unique in their session only, and no UUIDs. */
function eventIdOf({ app_name, user_id, session_id, id }: SourceRows['events']): string {
  const hash = createHash('sha256')
    .update(JSON.stringify(['evo-ai-0.1.0', app_name, user_id, session_id, id]))
    .digest()
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x80, 6)
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8)
  const hex = hash.toString('hex', 0, 16)
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

const PART_KEYS = {
  text: 'text',
  inline_data: 'inlineData',
  function_call: 'functionCall',
  function_response: 'functionResponse',
} as const

/** What of a message can be shown; the library wrote its keys in snake_case, older ones in camelCase. */
function partsOf(content: unknown): Record<string, unknown>[] {
  const { parts } = asObject(content)
  return (Array.isArray(parts) ? parts : []).flatMap((part: unknown) => {
    const source = asObject(part)
    const kept = Object.entries(PART_KEYS).flatMap(([key, camel]) => {
      const value = source[key] ?? source[camel]
      return value === null || value === undefined ? [] : [[key, key === 'inline_data' ? inlineData(value) : value]]
    })
    return kept.length === 0 ? [] : [Object.fromEntries(kept)]
  })
}

function inlineData(value: unknown): Record<string, unknown> {
  const { data, mime_type, mimeType } = asObject(value)
  return { data: String(data ?? ''), mime_type: String(mime_type ?? mimeType ?? 'application/octet-stream') }
}
