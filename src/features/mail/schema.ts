import { type Static, type TSchema, Type as t } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { CursorQuery } from '~/platform/http/cursor'
import { GivenMoment } from '~/platform/http/moment'
import { choice, PageQuery, Timestamp, Uuid } from '~/platform/http/schema'
import { BULK_TEMPLATES } from '~/platform/outbox/mail-kind'
import { DELIVERY_STATES, SUPPRESSIONS } from './table'

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

BULK_TEMPLATES satisfies readonly MailTemplate[]

const checker = TypeCompiler.Compile(MailRequest)

/** Undefined for a payload that no version of ours has written. */
export const parseMailRequest = (payload: unknown): MailRequest | undefined => (checker.Check(payload) ? payload : undefined)

const nullable = <S extends TSchema>(schema: S) => t.Union([schema, t.Null()])

export const Email = t.Object(
  {
    id: Uuid,
    client_id: nullable(Uuid),
    user_id: nullable(Uuid),
    template: t.String(),
    recipient: t.String(),
    subject: t.String(),
    state: choice(DELIVERY_STATES, {
      description:
        '`held`: it may have been sent, and waits for word from the provider before it is sent again. `failed`: given up. From `processed` on it is what the provider told.',
    }),
    provider: t.String(),
    provider_message_id: nullable(t.String()),
    attempts: t.Integer(),
    next_attempt_at: nullable(Timestamp),
    last_error: nullable(t.String()),
    created_at: Timestamp,
    sent_at: nullable(Timestamp),
    last_event_at: nullable(Timestamp),
  },
  { title: 'Email' },
)
export type Email = Static<typeof Email>

export const EmailDetail = t.Object(
  {
    ...Email.properties,
    events: t.Array(t.Object({ event: t.String(), occurred_at: Timestamp, details: t.Record(t.String(), t.Any()) }), {
      description: 'What the provider told, in the order in which it happened; the first 100.',
    }),
  },
  { title: 'EmailDetail' },
)
export type EmailDetail = Static<typeof EmailDetail>

const Moment = t.Optional(GivenMoment)
const filters = {
  state: t.Optional(choice(DELIVERY_STATES)),
  template: t.Optional(choice(TEMPLATES)),
  recipient: t.Optional(t.String({ minLength: 1, maxLength: 254 })),
  client_id: t.Optional(Uuid),
  user_id: t.Optional(Uuid),
  start_date: Moment,
  end_date: Moment,
}
const EmailFilter = t.Object(filters)
export type EmailFilter = Static<typeof EmailFilter>
export const EmailQuery = t.Object({ ...PageQuery, ...CursorQuery, ...filters })

export const Suppression = t.Object(
  { email: t.String(), reason: choice(SUPPRESSIONS), created_at: Timestamp },
  { title: 'EmailSuppression' },
)
export type Suppression = Static<typeof Suppression>
