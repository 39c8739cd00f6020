import { customType } from 'drizzle-orm/pg-core'

/** `bytea`, which Drizzle has no column for. */
export const bytea = customType<{ data: Buffer; driverData: Buffer }>({ dataType: () => 'bytea' })
