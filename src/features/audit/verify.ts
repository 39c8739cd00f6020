import type { Db } from '~/platform/db'
import { chainOf, GENESIS, type Head, hashLink, hashPersonal, type Link } from './chain'
import { findChain, listLinks } from './queries/read'
import type { Verification } from './schema'

export interface VerifyOptions {
  clientId: string | null
  /** Rows up to this one were verified by an earlier call. */
  after?: number | undefined
  /** A hash that was noted down elsewhere. */
  anchor?: Head | undefined
  /** Rows of one call. */
  maxRows?: number
}

type Fault = Verification['faults'][number]

const PAGE = 1000
const MAX_ROWS = 200_000
const MAX_FAULTS = 20

/** Walks a chain a page at a time. Rows that are appended meanwhile are left to the next call. */
export async function verifyChain(db: Db, { clientId, after, anchor, maxRows = MAX_ROWS }: VerifyOptions): Promise<Verification> {
  const chainId = chainOf(clientId)
  const chain = (await findChain(db, chainId)) ?? { head: GENESIS, base: GENESIS }
  const { head, base } = chain
  const faults: Fault[] = []
  const report = (fault: Fault) => faults.length < MAX_FAULTS && faults.push(fault)
  // The end was taken off, and the row that says where the chain ends changed with it.
  if (anchor !== undefined && anchor.seq > head.seq) report({ seq: anchor.seq, kind: 'end-removed', id: null })
  if (anchor?.seq === base.seq && anchor.hash !== base.hash) report({ seq: base.seq, kind: 'anchor-differs', id: null })
  let rows = 0
  let erased = 0
  // What the next row must follow; unknown behind a row that an earlier call verified, until it is read.
  let last: Head = after === undefined || after <= base.seq ? base : await standAt(db, chainId, after)

  while (rows < maxRows) {
    const links = await listLinks(db, chainId, last.seq, Math.min(PAGE, maxRows - rows))
    for (const link of links) {
      // Appended since the end was looked up.
      if (link.seq > head.seq) break
      for (const kind of faultsOf(link, last)) report({ seq: link.seq, kind, id: link.id })
      if (anchor?.seq === link.seq && anchor.hash !== link.hash) report({ seq: link.seq, kind: 'anchor-differs', id: link.id })
      if (link.erased) erased += 1
      rows += 1
      last = { seq: link.seq, hash: link.hash }
    }
    if (links.length < PAGE || (links.at(-1)?.seq ?? 0) > head.seq) break
  }

  const complete = rows < maxRows || last.seq >= head.seq
  if (complete) for (const fault of await faultsOfEnd(db, chainId, head, last)) report(fault)
  return {
    client_id: clientId,
    valid: faults.length === 0,
    complete,
    rows,
    erased,
    first_seq: base.seq + 1,
    verified_to: last.seq,
    head,
    faults,
  }
}

function faultsOf(link: Link & { erased: boolean }, last: Head): Fault['kind'][] {
  const kinds: Fault['kind'][] = []
  if (link.seq > last.seq + 1) kinds.push('missing')
  else if (link.prev_hash !== last.hash || link.seq === last.seq) kinds.push('broken-link')
  if (link.hash !== hashLink(link) || !isPersonalPartWhole(link)) kinds.push('altered')
  return kinds
}

/** Erased means all of it, so that nothing can be put in its place. */
const isPersonalPartWhole = (link: Link & { erased: boolean }): boolean =>
  link.salt !== null && !link.erased
    ? link.personal_hash === hashPersonal(link.salt, link)
    : link.erased && [link.salt, link.resource_id, link.details, link.ip_address, link.user_agent].every((value) => value === null)

async function standAt(db: Db, chainId: string, seq: number): Promise<Head> {
  const [link] = await listLinks(db, chainId, seq - 1, 1)
  return link?.seq === seq ? { seq, hash: link.hash } : { seq, hash: '' }
}

/** Asked again, since workers go on: a row beyond an end that has moved meanwhile is no fault. */
async function faultsOfEnd(db: Db, chainId: string, head: Head, last: Head): Promise<Fault[]> {
  if (last.seq !== head.seq) return [{ seq: last.seq + 1, kind: 'end-removed', id: null }]
  if (last.hash !== head.hash) return [{ seq: last.seq, kind: 'broken-link', id: null }]
  const [next] = await listLinks(db, chainId, head.seq, 1)
  if (next === undefined) return []
  const now = await findChain(db, chainId)
  return now !== undefined && now.head.seq >= next.seq ? [] : [{ seq: next.seq, kind: 'surplus', id: next.id }]
}
