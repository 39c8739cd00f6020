/** At most 48 connection attempts in any second: a full bucket and one second of refill. */
const BUCKET = 8
const REFILL_PER_SECOND = 40
const RESERVE = 4
const FIRST_PAUSE_MS = 25
const LONGEST_PAUSE_MS = 250
/** The server counts as down after so many failures in a row over so long: a connection cut while it is made is not yet an outage. */
const DOWN_AFTER = 3
const DOWN_AFTER_MS = 300
const PARALLEL = 4
const CALM_AFTER_MS = 1000

/** Decides when the next connection may be tried, so that neither a dead server nor one that drops connections is stormed. */
export class Pace {
  private tokens = BUCKET
  private refilledAt = 0
  private failures = 0
  private failingSince = 0
  private failedAt = 0
  private pauseUntil = 0
  private lostAt = Number.NEGATIVE_INFINITY

  constructor(private readonly random: () => number = Math.random) {}

  get isFailing() {
    return this.failures > 0
  }

  get isDown() {
    return this.failures >= DOWN_AFTER && this.failedAt - this.failingSince >= DOWN_AFTER_MS
  }

  /** Whether connections were cut just now. */
  isShaken(now: number) {
    return now - this.lostAt < CALM_AFTER_MS
  }

  /** How many attempts may run at a time. After a loss the first new connection matters most: forks side by side would only delay it. */
  parallel(now: number) {
    return this.isFailing || this.isShaken(now) ? 1 : PARALLEL
  }

  /** Milliseconds to wait before the next attempt; 0: now. Not `urgent` are connections beyond the first: they leave something for the next loss. */
  delayMs(now: number, urgent: boolean): number {
    this.refill(now)
    const needed = urgent ? 1 : RESERVE
    const untilToken = this.tokens >= needed ? 0 : ((needed - this.tokens) * 1000) / REFILL_PER_SECOND
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

  /** Attempts that ran side by side and met the same fault count once. The first is followed by another at once. */
  failed(startedAt: number, now: number) {
    if (startedAt < this.failedAt) return
    const pause = this.failures === 0 ? 0 : Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.failures - 1))
    if (this.failures === 0) this.failingSince = now
    this.failures++
    this.failedAt = now
    this.pauseUntil = now + pause * (0.5 + this.random() / 2)
  }

  private refill(now: number) {
    this.tokens = Math.min(BUCKET, this.tokens + (Math.max(0, now - this.refilledAt) * REFILL_PER_SECOND) / 1000)
    this.refilledAt = now
  }
}
