import { bigint, foreignKey, integer, pgTable, primaryKey, text, timestamp, unique, uuid } from 'drizzle-orm/pg-core'
import { sessions } from '~/features/sessions/table'
import { bytea } from '~/platform/bytes-column'

export const files = pgTable(
  'files',
  {
    id: uuid('id').primaryKey(),
    clientId: uuid('client_id').notNull(),
    sessionId: text('session_id').notNull(),
    filename: text('filename').notNull(),
    version: integer('version').notNull(),
    contentType: text('content_type').notNull(),
    size: bigint('size', { mode: 'number' }).notNull(),
    sha256: bytea('sha256').notNull(),
    author: text('author', { enum: ['user', 'agent'] }).notNull(),
    store: text('store', { enum: ['database', 'objects'] }).notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    unique().on(table.clientId, table.sessionId, table.filename, table.version),
    foreignKey({ columns: [table.clientId, table.sessionId], foreignColumns: [sessions.clientId, sessions.id] }).onDelete('cascade'),
  ],
)

export const filePieces = pgTable(
  'file_pieces',
  {
    fileId: uuid('file_id').notNull(),
    position: integer('position').notNull(),
    clientId: uuid('client_id').notNull(),
    bytes: bytea('bytes').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.clientId, table.fileId, table.position] }),
    foreignKey({ columns: [table.clientId, table.fileId], foreignColumns: [files.clientId, files.id] }).onDelete('cascade'),
  ],
)

export const doomedObjects = pgTable('doomed_objects', {
  key: text('key').primaryKey(),
  dueAt: timestamp('due_at', { withTimezone: true }).notNull().defaultNow(),
})
