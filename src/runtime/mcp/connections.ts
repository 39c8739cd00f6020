import { createHash } from 'node:crypto'
import type { Clock } from '~/platform/clock'
import { DomainError } from '~/platform/errors'
import { unlessAborted } from '~/platform/unless-aborted'
import type { Connection, Dial } from './connection'
import type { McpOwner, McpServer, McpTool } from './types'

/** One run's hold on a connection. */
export interface Lease {
  connection: Connection
  /** What the server offers now: one that was kept has been asked anew. */
  tools: McpTool[]
  /** Lets go of it: a remote one stays open for the next run, a command ends with its children. */
  release(): Promise<void>
}

/** The connections of this process, each to be used by the runs of one agent only. */
export interface Connections {
  /** Connects, or joins what is connected. @throws DomainError, or the signal's reason once that aborts */
  lease(owner: McpOwner, server: McpServer, signal: AbortSignal): Promise<Lease>
  close(): Promise<void>
}

export interface ConnectionsOptions {
  dial: Dial
  clock: Clock
  /** After so long without a run a connection is closed. */
  idleMs: number
  maxAgeMs: number
  /** Of remote ones. At the limit the longest idle one makes room. */
  maxConnections: number
}

interface Kept {
  connecting: Promise<Connection>
  connection?: Connection
  abort: AbortController
  users: number
  openedAt: number
  idleSince: number
}

const SWEEP_MS = 5000

export function createConnections({ dial, clock, idleMs, maxAgeMs, maxConnections }: ConnectionsOptions): Connections {
  const kept = new Map<string, Kept>()

  const drop = (key: string, one: Kept) => {
    if (kept.get(key) === one) kept.delete(key)
    if (one.users > 0) return // whoever uses it closes it
    one.abort.abort(new Error('not needed any more'))
    void one.connection?.close()
  }

  const isStale = (one: Kept) => one.connection?.isClosed() === true || clock.now() - one.openedAt > maxAgeMs

  const makeRoom = () => {
    if (kept.size < maxConnections) return
    const idle = [...kept].filter(([, { users }]) => users === 0).toSorted(([, a], [, b]) => a.idleSince - b.idleSince)[0]
    if (idle === undefined) throw new DomainError('overloaded', 'Too many MCP servers are connected at once.', { retryAfterSeconds: 5 })
    drop(...idle)
  }

  const open = (key: string, server: McpServer): Kept => {
    makeRoom()
    const abort = new AbortController()
    const one: Kept = { connecting: dial(server, abort.signal), abort, users: 0, openedAt: clock.now(), idleSince: clock.now() }
    kept.set(key, one)
    one.connecting.then(
      (connection) => {
        one.connection = connection
        if (abort.signal.aborted) void connection.close()
      },
      () => drop(key, one), // told to those who wait for it
    )
    return one
  }

  const sweep = setInterval(() => {
    for (const [key, one] of kept) if (one.users === 0 && (isStale(one) || clock.now() - one.idleSince > idleMs)) drop(key, one)
  }, SWEEP_MS)
  sweep.unref()

  const join = async (key: string, one: Kept, signal: AbortSignal): Promise<Lease> => {
    const wasOpen = one.connection !== undefined
    one.users++
    const release = async () => {
      one.users--
      one.idleSince = clock.now()
      if (one.users === 0 && (kept.get(key) !== one || isStale(one))) drop(key, one)
    }
    try {
      const connection = await unlessAborted(signal, one.connecting)
      return { connection, tools: wasOpen ? await connection.list(signal) : connection.tools, release: once(release) }
    } catch (error) {
      await release()
      throw error
    }
  }

  return {
    async lease(owner, server, signal) {
      signal.throwIfAborted()
      if (server.transport === 'stdio') {
        const connection = await dial(server, signal)
        return { connection, tools: connection.tools, release: () => connection.close() }
      }
      const key = keyOf(owner, server)
      const known = kept.get(key)
      if (known !== undefined && isStale(known)) drop(key, known)
      const one = kept.get(key) ?? open(key, server)
      const wasOpen = one.connection !== undefined
      try {
        return await join(key, one, signal)
      } catch (error) {
        if (!wasOpen || signal.aborted) throw error
        // The server may have lost the session that was kept for it. It has not been asked to do anything yet.
        drop(key, one)
        return join(key, kept.get(key) ?? open(key, server), signal)
      }
    },

    async close() {
      clearInterval(sweep)
      const open = [...kept.values()]
      kept.clear()
      for (const { abort } of open) abort.abort(new Error('stopping'))
      await Promise.all(open.map(({ connection }) => connection?.close()))
    },
  }
}

/** Headers and environment included: other credentials are another connection. */
export const keyOf = ({ clientId, agentId }: McpOwner, server: McpServer) =>
  createHash('sha256')
    .update(JSON.stringify([clientId, agentId, server]))
    .digest('base64url')

const once = (work: () => Promise<void>) => {
  let done: Promise<void> | undefined
  return () => {
    done ??= work()
    return done
  }
}
