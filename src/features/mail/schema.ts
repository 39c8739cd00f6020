import { type Static, Type as t } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'

const uuid = t.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' })

/**
 * What an outbox row of kind `email` asks for. It holds ids alone: address, name and link are looked up when the mail is written,
 * so that a queue, a backup or a dead letter opens nothing and a late mail is not addressed to a former address.
 */
export const MailRequest = t.Union([
  /** `token_id`: a row of one_time_tokens, from `issueToken` in the same transaction. */
  t.Object({
    template: t.Union([t.Literal('verify-email'), t.Literal('reset-password'), t.Literal('change-email')]),
    user_id: uuid,
    token_id: uuid,
  }),
  t.Object({
    template: t.Union([
      t.Literal('welcome'),
      t.Literal('already-registered'),
      t.Literal('password-changed'),
      t.Literal('account-locked'),
      t.Literal('second-factor-changed'),
    ]),
    user_id: uuid,
  }),
  /** Of a place and a program that the account has not known. */
  t.Object({ template: t.Literal('new-sign-in'), user_id: uuid, session_id: uuid }),
  t.Object({ template: t.Literal('budget-reached'), user_id: uuid, spent_usd: t.Number(), limit_usd: t.Number() }),
  /** To the address that the account has so far. `token_id`: of the `change-email` to the other one. */
  t.Object({ template: t.Literal('email-change-requested'), user_id: uuid, token_id: uuid }),
  /** To somebody who has no account yet: the address stands in the invitation. */
  t.Object({ template: t.Literal('invitation'), invitation_id: uuid }),
])
export type MailRequest = Static<typeof MailRequest>
export type MailTemplate = MailRequest['template']
export const TEMPLATES = [
  'verify-email',
  'reset-password',
  'welcome',
  'account-locked',
  'password-changed',
  'second-factor-changed',
  'new-sign-in',
  'change-email',
  'email-change-requested',
  'already-registered',
  'invitation',
  'budget-reached',
] as const satisfies readonly MailTemplate[]

const checker = TypeCompiler.Compile(MailRequest)

/** Undefined for a payload that no version of ours has written. */
export const parseMailRequest = (payload: unknown): MailRequest | undefined => (checker.Check(payload) ? payload : undefined)
