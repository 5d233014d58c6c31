// Whether a path works in both directions: rfc9000#8.2.

import { FRAME_PATH_CHALLENGE } from "../protocol/constants.ts";
import { MAX_PATH_CHALLENGES } from "../protocol/limits.ts";
import type { RandomSource } from "../protocol/random.ts";

/** Bytes of a challenge's data, rfc9000#19.17. */
export const CHALLENGE_LENGTH = 8;
/** Bytes of a PATH_CHALLENGE or PATH_RESPONSE frame. */
export const PATH_FRAME_LENGTH = 1 + CHALLENGE_LENGTH;

export type ValidationState = "idle" | "running" | "succeeded" | "failed";

interface Challenge {
  readonly data: Uint8Array;
  /** It left in a datagram of 1,200 bytes, so that its answer proves the path's size as well. */
  readonly expanded: boolean;
  readonly sentAt: number;
}

/** One path's validation: challenges out, one matching response in, or a timeout. */
export class PathValidation {
  state: ValidationState = "idle";
  /** A PATH_CHALLENGE should leave. */
  challengeDue = false;
  /** A PATH_CHALLENGE should leave that has nothing to do with validation: `ping`. */
  pingDue = false;
  /** Ms that the last answer took, 0 before there was one. */
  rtt = 0;
  #ping: Challenge | null = null;
  #random: RandomSource;
  #outstanding: Challenge[] = [];
  #deadline = Infinity;
  #resendAt = Infinity;
  #resendAfter = 0;

  constructor(random: RandomSource) {
    this.#random = random;
  }

  /**
   * rfc9000#8.2.4 endpoints SHOULD abandon path validation based on a timer; a value of three times the larger of the
   * current PTO or the PTO for the new path (with the initial RTT) is RECOMMENDED.
   * @param pto the larger of the two.
   */
  start(now: number, pto: number): void {
    this.state = "running";
    this.#outstanding = [];
    this.#deadline = now + 3 * pto;
    this.#resendAfter = pto / 2;
    this.#resendAt = Infinity;
    this.challengeDue = true;
  }

  /**
   * The peer is to acknowledge something on this path. rfc9000#9.1 PATH_CHALLENGE is a probing frame: whatever happens to it
   * moves nobody.
   */
  ping(): void {
    this.pingDue = !this.challengeDue;
  }

  writePing(buf: Uint8Array, pos: number, now: number): number {
    this.pingDue = false;
    this.#ping = this.#challenge(buf, pos, true, now);
    return pos + PATH_FRAME_LENGTH;
  }

  #challenge(buf: Uint8Array, pos: number, expanded: boolean, now: number): Challenge {
    const data = new Uint8Array(CHALLENGE_LENGTH);
    this.#random(data);
    buf[pos] = FRAME_PATH_CHALLENGE;
    buf.set(data, pos + 1);
    return { data, expanded, sentAt: now };
  }

  /** Gives up without a result. */
  stop(): void {
    if (this.state === "running") this.state = "idle";
    this.#clear();
  }

  /**
   * Writes the PATH_CHALLENGE that is due. rfc9000#8.2.1 an endpoint MUST use unpredictable data in every
   * PATH_CHALLENGE frame, so that it can associate the peer's response with the corresponding one.
   */
  writeChallenge(buf: Uint8Array, pos: number, expanded: boolean, now: number): number {
    if (this.#outstanding.length === MAX_PATH_CHALLENGES) this.#outstanding.shift();
    this.#outstanding.push(this.#challenge(buf, pos, expanded, now));
    this.challengeDue = false;
    // rfc9000#8.2.1 an endpoint MAY send multiple PATH_CHALLENGE frames to guard against packet loss, but SHOULD NOT
    // probe a new path more often than it would send Initials: the interval doubles.
    this.#resendAt = now + this.#resendAfter;
    this.#resendAfter *= 2;
    return pos + PATH_FRAME_LENGTH;
  }

  /**
   * A PATH_RESPONSE came, on whatever path: rfc9000#8.2.3 path validation succeeds when a PATH_RESPONSE frame is
   * received that contains the data that was sent in a previous PATH_CHALLENGE frame.
   * @returns "none" where it answers nothing of ours, "address" where it proves the address only (the challenge was
   * in a short datagram, another in a full one is due), "path" where the path is validated, "ping" for the answer to one.
   */
  onResponse(buf: Uint8Array, start: number, now: number): "none" | "address" | "path" | "ping" {
    if (this.#ping !== null && matches(this.#ping.data, buf, start)) {
      this.rtt = now - this.#ping.sentAt;
      this.#ping = null;
      return "ping";
    }
    if (this.state !== "running") return "none";
    const answered = this.#outstanding.find((challenge) => matches(challenge.data, buf, start));
    // rfc9000#19.18 if the content of a PATH_RESPONSE frame does not match, the endpoint MAY generate a connection
    // error of type PROTOCOL_VIOLATION. Late answers of an abandoned validation look the same, so it is ignored.
    if (answered === undefined) return "none";
    this.rtt = now - answered.sentAt;
    // rfc9000#8.2.1 To ensure that the path MTU is large enough, the endpoint MUST perform a second path validation
    // by sending a PATH_CHALLENGE frame in a datagram of at least 1200 bytes.
    // rfc9000#8.2.3 However, the endpoint MUST initiate another path validation with an expanded datagram to verify
    // that the path supports the required MTU.
    if (!answered.expanded) {
      // rfc9000#8.2.1 if the datagram was not expanded, the endpoint MUST validate the path's MTU by a second one.
      this.#outstanding = this.#outstanding.filter((challenge) => challenge !== answered);
      this.challengeDue = true;
      return "address";
    }
    this.state = "succeeded";
    this.#clear();
    return "path";
  }

  timeout(): number {
    if (this.state !== "running") return Infinity;
    return Math.min(this.#deadline, this.challengeDue ? Infinity : this.#resendAt);
  }

  onTimeout(now: number): void {
    if (this.state !== "running") return;
    if (now >= this.#deadline) {
      this.state = "failed";
      this.#clear();
    } else if (now >= this.#resendAt) {
      this.#resendAt = Infinity;
      this.challengeDue = true;
    }
  }

  #clear(): void {
    this.challengeDue = false;
    this.#outstanding = [];
    this.#deadline = this.#resendAt = Infinity;
  }
}

function matches(data: Uint8Array, buf: Uint8Array, start: number): boolean {
  let difference = 0;
  for (let i = 0; i < CHALLENGE_LENGTH; i++) difference |= data[i]! ^ buf[start + i]!;
  return difference === 0;
}
