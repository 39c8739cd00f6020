import type { MailKind } from './table'

/** Nobody sits and waits for these; for all others somebody may, so those are never queued behind them. */
export const BULK_TEMPLATES = ['welcome', 'invitation', 'budget-reached'] as const

const BULK: ReadonlySet<string> = new Set(BULK_TEMPLATES)

/** A trigger asks for `budget-reached`, and names the kind itself (db/migrations/0032). */
export const mailKind = (template: string): MailKind => (BULK.has(template) ? 'email-bulk' : 'email')
