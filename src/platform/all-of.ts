/** What they all come to: at once where none has to be waited for, since a promise for each row of a long list costs more than the row. */
export const allOf = <T>(items: (T | Promise<T>)[]): T[] | Promise<T[]> =>
  // Where none is a promise, all are values.
  items.some((item) => item instanceof Promise) ? Promise.all(items) : (items as T[])
