// Round-trip time, rfc9002#5. All in ms.

/** Used before the first sample, rfc9002#6.2.2. */
export const INITIAL_RTT = 333;
// rfc9002#6.1.2 To avoid declaring packets as lost too early, this time threshold MUST be set to at least the
// local timer granularity, as indicated by the kGranularity constant.
// rfc9002#6.2.1 The PTO period MUST be at least kGranularity to avoid the timer expiring immediately.
/** Timer granularity, rfc9002#6.1.2. */
export const GRANULARITY = 1;

export class RttEstimator {
  latest = 0;
  smoothed = INITIAL_RTT;
  variance = INITIAL_RTT / 2;
  min = 0;
  hasSample = false;
  /** Monotonic ms of the first sample: persistent congestion looks no further back (rfc9002#7.6.2). */
  firstSampleAt = 0;

  /**
   * A sample from an ACK that newly acknowledged its largest packet, which was ack-eliciting.
   * @param ackDelay the peer's, already 0 for Initial packets and capped after confirmation: rfc9002#5.3.
   */
  update(latest: number, ackDelay: number, now: number): void {
    // rfc9002#5.1 An RTT sample MUST NOT be generated on receiving an ACK frame that does not newly acknowledge at
    // least one ack-eliciting packet.
    this.latest = latest;
    if (!this.hasSample) {
      this.hasSample = true;
      this.firstSampleAt = now;
      this.min = latest;
      this.smoothed = latest;
      this.variance = latest / 2;
      return;
    }
    // rfc9002#5.2 min_rtt ignores ack delay.
    if (latest < this.min) this.min = latest;
    // rfc9002#5.3 MUST NOT subtract the acknowledgment delay if the result is smaller than min_rtt.
    const adjusted = latest >= this.min + ackDelay ? latest - ackDelay : latest;
    this.variance += (Math.abs(this.smoothed - adjusted) - this.variance) / 4;
    this.smoothed += (adjusted - this.smoothed) / 8;
  }

  /** smoothed_rtt + max(4·rttvar, kGranularity), rfc9002#6.2.1; without max_ack_delay. */
  get ptoBase(): number {
    return this.smoothed + Math.max(4 * this.variance, GRANULARITY);
  }

  /** A new path starts anew, rfc9000#9.4. */
  reset(): void {
    this.latest = this.min = 0;
    this.smoothed = INITIAL_RTT;
    this.variance = INITIAL_RTT / 2;
    this.hasSample = false;
  }
}
