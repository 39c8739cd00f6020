/** At most 48 connection attempts in any second: a full bucket and one second of refill. */
const BUCKET = 8
const REFILL_PER_SECOND = 40
const FIRST_PAUSE_MS = 25
const LONGEST_PAUSE_MS = 1000
/** Failures in a row after which the server counts as down. */
const DOWN_AFTER = 3
const PARALLEL = 4
/** Right after a loss the first new connection matters most: forks side by side would only delay it. */
const CALM_AFTER_MS = 1000

/** Decides when the next connection may be tried, so that neither a dead server nor one that drops connections is stormed. */
export class Pace {
  private tokens = BUCKET
  private refilledAt = 0
  private failures = 0
  private failedAt = 0
  private pauseUntil = 0
  private lostAt = Number.NEGATIVE_INFINITY

  constructor(private readonly random: () => number = Math.random) {}

  get isFailing() {
    return this.failures > 0
  }

  get isDown() {
    return this.failures >= DOWN_AFTER
  }

  /** How many attempts may run at a time. */
  parallel(now: number) {
    return this.isFailing || now - this.lostAt < CALM_AFTER_MS ? 1 : PARALLEL
  }

  /** Milliseconds to wait before the next attempt; 0: now. */
  delayMs(now: number): number {
    this.refill(now)
    const untilToken = this.tokens >= 1 ? 0 : ((1 - this.tokens) * 1000) / REFILL_PER_SECOND
    return Math.ceil(Math.max(untilToken, this.pauseUntil - now, 0))
  }

  /** Call for every address that is tried. May go below zero: the next attempt waits the longer. */
  attempted(now: number) {
    this.refill(now)
    this.tokens--
  }

  succeeded() {
    this.failures = 0
    this.pauseUntil = 0
  }

  /** A connection that worked has gone away. */
  lost(now: number) {
    this.lostAt = now
  }

  /** Attempts that ran side by side and met the same fault count once. */
  failed(startedAt: number, now: number) {
    if (startedAt < this.failedAt) return
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.failures)
    this.failures++
    this.failedAt = now
    this.pauseUntil = now + pause * (0.5 + this.random() / 2)
  }

  private refill(now: number) {
    this.tokens = Math.min(BUCKET, this.tokens + (Math.max(0, now - this.refilledAt) * REFILL_PER_SECOND) / 1000)
    this.refilledAt = now
  }
}
