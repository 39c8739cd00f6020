import { bigint, boolean, pgTable, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import { clients } from '~/features/clients/table'
import { bytea } from '~/platform/bytes-column'
import { MEMBER_ROLES } from '~/platform/principal'

export const users = pgTable('users', {
  id: uuid('id').primaryKey().defaultRandom(),
  clientId: uuid('client_id').references(() => clients.id, { onDelete: 'cascade' }),
  email: text('email').notNull(),
  name: text('name'),
  /** In the client; null for platform admins. */
  role: text('role', { enum: MEMBER_ROLES }),
  passwordHash: text('password_hash').notNull(),
  passwordIsInitial: boolean('password_is_initial').notNull().default(false),
  /** Until the first sign-in: another system hashed it, and may have cut it at 72 bytes. */
  passwordIsImported: boolean('password_is_imported').notNull().default(false),
  passwordExpiresAt: timestamp('password_expires_at', { withTimezone: true }),
  locale: text('locale').notNull().default('en'),
  isActive: boolean('is_active').notNull().default(false),
  /** By somebody; null also for who has yet to confirm the address. */
  deactivatedAt: timestamp('deactivated_at', { withTimezone: true }),
  isAdmin: boolean('is_admin').notNull().default(false),
  emailVerified: boolean('email_verified').notNull().default(false),
  /** Read by releases before this one, which may still run beside it; to be dropped once none does. */
  tokensNotBefore: timestamp('tokens_not_before', { withTimezone: true }),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
  updatedAt: timestamp('updated_at', { withTimezone: true }),
})

/** TOTP. The secret is sealed under the platform's key. */
export const secondFactors = pgTable('second_factors', {
  userId: uuid('user_id')
    .primaryKey()
    .references(() => users.id, { onDelete: 'cascade' }),
  sealedSecret: text('sealed_secret').notNull(),
  /** The time step of the last code: none counts twice. */
  lastStep: bigint('last_step', { mode: 'number' }).notNull().default(0),
  confirmedAt: timestamp('confirmed_at', { withTimezone: true }),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
})

export const recoveryCodes = pgTable(
  'recovery_codes',
  {
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    codeHash: bytea('code_hash').notNull(),
    usedAt: timestamp('used_at', { withTimezone: true }),
  },
  ({ userId, codeHash }) => [primaryKey({ columns: [userId, codeHash] })],
)
