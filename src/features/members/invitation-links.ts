import type { Db } from '~/platform/db'
import { findInvitationToMail } from './queries'

/** How the token of an invitation is made from its id, and what of it is stored. */
export interface InvitationTokens {
  derive(invitationId: string): string
  hash(token: string): Buffer
}

/** What a worker needs to write the mail of an invitation. */
export interface InvitationLinks {
  forMail(tx: Db, invitationId: string): Promise<{ email: string; clientId: string; clientName: string; token: string } | { skip: string }>
}

export const createInvitationLinks = ({ tokens }: { tokens: InvitationTokens }): InvitationLinks => ({
  async forMail(tx, invitationId) {
    const found = await findInvitationToMail(tx, invitationId)
    if (found === undefined) return { skip: 'the invitation was accepted, withdrawn or has expired' }
    return { ...found, token: tokens.derive(invitationId) }
  },
})
