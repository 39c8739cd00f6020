/**
 * An array of PostgreSQL as one text, of what needs no quotes: ids, numbers, hex. It is sent as a single parameter and cast in the statement
 * (`::uuid[]`); as an array each of its items would be looked through on the way.
 */
export const bareArray = (items: (string | number)[]): string => `{${items.join(',')}}`
