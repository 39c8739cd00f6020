import type { Db } from '~/platform/db'
import { findInvitationToMail, renewInvitation } from './queries'

/** How the token of an invitation is made from its id, and what of it is stored. */
export interface InvitationTokens {
  derive(invitationId: string): string
  /** The one that was made then; undefined where the key of that time is gone. */
  find(invitationId: string, hash: Buffer): string | undefined
  hash(token: string): Buffer
}

/** What a worker needs to write the mail of an invitation. */
export interface InvitationLinks {
  forMail(
    tx: Db,
    invitationId: string,
  ): Promise<{ email: string; clientId: string; clientName: string; locale: string; token: string } | { skip: string }>
}

export const createInvitationLinks = ({ tokens }: { tokens: InvitationTokens }): InvitationLinks => ({
  async forMail(tx, invitationId) {
    const found = await findInvitationToMail(tx, invitationId)
    if (found === undefined) return { skip: 'the invitation was accepted, withdrawn or has expired' }
    const { tokenHash, ...invitation } = found
    const token = tokens.find(invitationId, tokenHash) ?? tokens.derive(invitationId)
    const hash = tokens.hash(token)
    if (!hash.equals(tokenHash)) await renewInvitation(tx, invitationId, hash)
    return { ...invitation, token }
  },
})
