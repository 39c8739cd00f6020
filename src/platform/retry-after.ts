/** How long the other side asks us to wait: `Retry-After` as seconds or as a date (RFC 9110 section 10.2.3). Undefined where it does not, or for no time at all. */
export function retryAfterMs(header: string | null): number | undefined {
  const asked = header?.trim() ?? ''
  const ms = /^\d+$/.test(asked) ? Number(asked) * 1000 : Date.parse(asked) - Date.now()
  return Number.isFinite(ms) && ms > 0 ? ms : undefined
}
