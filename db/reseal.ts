const PAGE_SIZE = 100

/**
 * Seals anew what a table holds, page by page, while the server runs. `page` reads the rows behind a place, in order; `reseal` answers how many rows it has
 * written: none where nothing is to be done, or where the row changed meanwhile, for then it was sealed under the newest key anyway.
 */
export async function resealRows<Row>({
  page,
  placeOf,
  reseal,
  signal,
}: {
  page(after: string | undefined, size: number): PromiseLike<Row[]>
  placeOf(row: Row): string
  reseal(row: Row): Promise<number>
  signal?: AbortSignal | undefined
}): Promise<number> {
  let total = 0
  let after: string | undefined
  for (;;) {
    const rows = await page(after, PAGE_SIZE)
    for (const row of rows) {
      if (signal?.aborted) return total
      total += await reseal(row)
    }
    const last = rows.at(-1)
    if (last === undefined) return total
    after = placeOf(last)
  }
}
