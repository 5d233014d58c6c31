// The loss detection timer: one for loss by time and for the probe timeout of all packet number spaces. rfc9002#6.2.1,
// rfc9002#6.2.2.1 and appendix A.8.

import { APPLICATION, HANDSHAKE, INITIAL, type Role, type Space } from "../protocol/constants.ts";
import { MAX_ACK_DELAY, MAX_PTO } from "../protocol/limits.ts";
import type { RecoveryTrace } from "./recovery-trace.ts";
import type { RttEstimator } from "./rtt.ts";
import type { Spaces } from "./space-state.ts";

export class LossTimer {
  readonly #spaces: Spaces;
  readonly #rtt: RttEstimator;
  readonly #trace: RecoveryTrace | null;
  /** Absolute ms, Infinity for none. */
  at = Infinity;
  /** Expirations of the PTO since the last ACK. */
  ptoCount = 0;
  #peerMaxAckDelay = MAX_ACK_DELAY;
  #handshakeConfirmed = false;
  #hasHandshakeKeys = false;
  /** Server: always true. Client: an ACK in a Handshake packet, or confirmation. rfc9002#6.2.2.1 */
  #peerCompletedValidation: boolean;
  /** Server: amplification-limited, so that no PTO may be armed: rfc9002#6.2.2.1 */
  #blocked = false;

  constructor(spaces: Spaces, role: Role, rtt: RttEstimator, trace: RecoveryTrace | null) {
    this.#spaces = spaces;
    this.#rtt = rtt;
    this.#trace = trace;
    this.#peerCompletedValidation = role === "server";
  }

  get peerMaxAckDelay(): number {
    return this.#peerMaxAckDelay;
  }

  get handshakeConfirmed(): boolean {
    return this.#handshakeConfirmed;
  }

  /** The peer's max_ack_delay: rfc9002#6.2.1 for the application space alone. */
  setPeerMaxAckDelay(ms: number): void {
    this.#peerMaxAckDelay = ms;
  }

  raisePeerMaxAckDelay(ms: number): void {
    this.#peerMaxAckDelay = Math.max(this.#peerMaxAckDelay, ms);
  }

  /** Whether a client in doubt probes with Handshake packets: rfc9002#6.2.2.1 */
  setHandshakeKeys(has: boolean): void {
    this.#hasHandshakeKeys = has;
  }

  setHandshakeConfirmed(now: number): void {
    this.#handshakeConfirmed = true;
    this.#peerCompletedValidation = true;
    this.set(now);
  }

  /**
   * Server: whether the anti-amplification limit stops it. rfc9002#6.2.2.1 the PTO timer MUST NOT be armed then. Call it
   * with false when a datagram arrives: a timer that would have fired meanwhile is then in the past and due at once.
   */
  setAmplificationBlocked(blocked: boolean, now: number): void {
    if (blocked === this.#blocked) return;
    this.#blocked = blocked;
    this.set(now);
  }

  /** The PTO of `space` without backoff, rfc9002#6.2.1. */
  pto(space: Space): number {
    return this.#rtt.ptoBase + (space === APPLICATION ? this.#peerMaxAckDelay : 0);
  }

  /** Something of `space` was newly acknowledged. */
  onAck(space: Space, now: number): void {
    if (space === HANDSHAKE) this.#peerCompletedValidation = true;
    // rfc9002#6.2.1 the PTO backoff factor is reset when an acknowledgment is received, but not at a client that is
    // not yet certain that the server has finished validating the client's address.
    if (this.#peerCompletedValidation) this.ptoCount = 0;
    this.set(now);
  }

  /** After whatever it depends on has changed. */
  set(now: number): void {
    const [initial, handshake, application] = this.#spaces;
    const lossTime = Math.min(initial.lossTime, handshake.lossTime, application.lossTime);
    // rfc9002#6.2.1 the PTO timer MUST NOT be set if a timer is set for time threshold loss detection.
    this.at = lossTime < Infinity ? lossTime : this.#ptoTime(now);
    if (this.#trace !== null) {
      this.#trace.timerSet(now, lossTime < Infinity ? "loss_timeout" : "pto", this.at);
    }
  }

  setAfterPto(now: number): void {
    this.set(now);
    // The probes leave now and set it again; should they not be able to, it must not fire at once.
    if (this.at <= now) this.at = now + this.#backedOff(this.#rtt.ptoBase);
  }

  /** The space with the earliest loss by time, −1 for none. */
  lossSpace(): Space | -1 {
    let best: Space | -1 = -1;
    let bestAt = Infinity;
    for (let space: Space = INITIAL; space <= APPLICATION; space++) {
      const { lossTime } = this.#spaces[space as Space];
      if (lossTime < bestAt) {
        bestAt = lossTime;
        best = space as Space;
      }
    }
    return best;
  }

  /** The space whose PTO has expired. */
  probeSpace(): Space {
    const space = this.#ptoSpace();
    if (space >= 0) return space as Space;
    // rfc9002#6.2.2.1 when the PTO fires, the client MUST send a Handshake packet if it has Handshake keys, otherwise
    // it MUST send an Initial packet.
    return this.#hasHandshakeKeys ? HANDSHAKE : INITIAL;
  }

  #ptoTime(now: number): number {
    // rfc9000#8.1 To prevent this deadlock, clients MUST send a packet on a Probe Timeout (PTO); see Section 6.2 of
    // [QUIC-RECOVERY].
    // rfc9002#6.2.2.1 the server's PTO timer MUST NOT be armed until datagrams have been received from the client.
    if (this.#blocked) return Infinity;
    const space = this.#ptoSpace();
    if (space >= 0)
      return this.#spaces[space as Space].lastElicitingSent + this.#backedOff(this.pto(space as Space));
    // rfc9002#6.2.2.1 the client MUST set the PTO timer if it has not received an acknowledgment for any of its
    // Handshake packets and the handshake is not confirmed, even if there are no packets in flight.
    return this.#peerCompletedValidation ? Infinity : now + this.#backedOff(this.#rtt.ptoBase);
  }

  /** The space whose PTO is the earliest, −1 for none. */
  #ptoSpace(): Space | -1 {
    // rfc9002#6.2.1 When ack-eliciting packets in multiple packet number spaces are in flight, the timer MUST be set
    // to the earlier value of the Initial and Handshake packet number spaces.
    // rfc9000#8.1 Specifically, the client MUST send an Initial packet in a UDP datagram that contains at least 1200
    // bytes if it does not have Handshake keys, and otherwise send a …
    let best: Space | -1 = -1;
    let bestAt = Infinity;
    for (let space: Space = INITIAL; space <= APPLICATION; space++) {
      const state = this.#spaces[space as Space];
      if (state.sent.elicitingInFlight === 0) continue;
      // rfc9002#6.2.1 an endpoint MUST NOT set its PTO timer for the Application Data packet number space until the
      // handshake is confirmed.
      if (space === APPLICATION && !this.#handshakeConfirmed) continue;
      const at = state.lastElicitingSent + this.#backedOff(this.pto(space as Space));
      if (at < bestAt) {
        bestAt = at;
        best = space as Space;
      }
    }
    return best;
  }

  /** rfc9002#6.2.1 the PTO backoff factor doubles with each expiration. */
  #backedOff(pto: number): number {
    return Math.min(pto * 2 ** this.ptoCount, MAX_PTO);
  }
}
