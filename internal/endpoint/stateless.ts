// Answers that need no connection: Version Negotiation, Retry, stateless reset, refusals. All are rate limited, none is
// larger than what caused it allows.

import { phrase } from "../connection/close.ts";
import type { CryptoProvider } from "../crypto/provider.ts";
import { drawReservedVersion } from "../connection/versions.ts";
import { PacketProtection } from "../handshake/protection.ts";
import { retryIntegrityTag } from "../handshake/retry.ts";
import { deriveResetToken } from "../path/reset-token.ts";
import { sameAddress, type Address } from "../protocol/address.ts";
import { NOT_ECT, type TxBatch } from "../protocol/batch.ts";
import { concatBytes } from "../protocol/bytes.ts";
import { INITIAL, PACKET_INITIAL } from "../protocol/constants.ts";
import {
  MAX_QUEUED_ANSWERS,
  MIN_DATAGRAM_SIZE,
  MIN_STATELESS_RESET,
  TYPICAL_STATELESS_RESET,
} from "../protocol/limits.ts";
import { drawInt, type RandomSource } from "../protocol/random.ts";
import type { Tracer } from "../protocol/tracer.ts";
import { writeConnectionClose } from "../wire/frame-writers.ts";
import {
  encodeRetry,
  encodeStatelessReset,
  encodeVersionNegotiation,
  patchLength,
  writeLongHeader,
  type LongHeader,
} from "../wire/header.ts";
import { Fifo } from "./fifo.ts";
import type { Hosts, RatedKind } from "./hosts.ts";
import type { ClientInitial, EndpointStats, StatelessKind } from "./types.ts";

interface Answer {
  readonly bytes: Uint8Array;
  readonly remote: Address;
  readonly local: Address | null;
}

/** The packet that is refused. */
export type RefusedInitial = Pick<ClientInitial, "version" | "dcid" | "peerScid" | "remote" | "local">;

/** What CONNECTION_CLOSE says. */
export interface CloseReason {
  readonly errorCode: number;
  readonly frameType?: number;
  readonly reason?: string;
}

/** What became of a wish to answer. */
export type AnswerResult = "queued" | "rate_limited" | "invalid_source" | "none";

export interface StatelessOptions {
  readonly provider: CryptoProvider;
  readonly random: RandomSource;
  readonly cidLength: number;
  readonly resetKey: Uint8Array | null;
  readonly tracer: Tracer | null;
  readonly stats: EndpointStats;
  readonly hosts: Hosts;
}

const RATED: { readonly [kind in StatelessKind]: RatedKind } = {
  version_negotiation: "versionNegotiation",
  retry: "retry",
  stateless_reset: "statelessReset",
  connection_close: "close",
};

// rfc9000#10.3 An endpoint MUST NOT send a Stateless Reset that is three times or more larger than the packet it
// receives to avoid being used for amplification.
/** Makes and queues them. */
export class StatelessAnswers {
  readonly #options: StatelessOptions;
  readonly #queue = new Fifo<Answer>();
  /** Whether packets of unknown connections are answered. */
  resets = true;

  constructor(options: StatelessOptions) {
    this.#options = options;
  }

  get waiting(): boolean {
    return this.#queue.size > 0;
  }

  /**
   * Answers a packet of an unknown version. The caller has seen to its size: rfc9000#5.2.2 servers MUST drop smaller
   * packets that specify unsupported versions.
   */
  negotiateVersion(
    versionsSpoken: readonly number[],
    buf: Uint8Array,
    header: LongHeader,
    remote: Address,
    local: Address | null,
    now: number,
  ): AnswerResult {
    const denied = this.denied("version_negotiation", remote, local, now);
    if (denied !== null) return denied;
    const { random } = this.#options;
    const versions = [...versionsSpoken];
    // rfc9000#6.3 endpoints MAY add reserved versions to any field where unknown or unsupported versions are ignored,
    // to test that a peer correctly ignores the value; rfc9000#15 0x?a?a?a?a. Never the client's own: it would take the
    // packet for a forgery (rfc9000#6.2).
    versions.splice(drawInt(random, versions.length + 1), 0, drawReservedVersion(random, header.version));
    // rfc9000#17.2.1 the server MUST include the value from the Source Connection ID field of the packet it receives in
    // the Destination Connection ID field, and the other way round.
    const bytes = encodeVersionNegotiation(
      buf.subarray(header.scidOffset, header.scidOffset + header.scidLength),
      buf.subarray(header.dcidOffset, header.dcidOffset + header.dcidLength),
      versions,
      drawInt(random, 64),
    );
    return this.#push("version_negotiation", bytes, remote, local, now);
  }

  /** Answers a short header packet of `size` bytes at `start` whose connection nobody knows. */
  reset(
    buf: Uint8Array,
    start: number,
    size: number,
    remote: Address,
    local: Address | null,
    now: number,
  ): AnswerResult {
    const { resetKey, cidLength, random, provider } = this.#options;
    // rfc9000#10.3.3 an endpoint MUST ensure that every Stateless Reset that it sends is smaller than the packet that
    // triggered it; so that of two endpoints that reset each other one falls silent.
    const largest = size - 1;
    if (!this.resets || resetKey === null || cidLength === 0 || largest < MIN_STATELESS_RESET) return "none";
    const denied = this.denied("stateless_reset", remote, local, now);
    if (denied !== null) return denied;
    // rfc9000#10.3 in response to a packet that is 43 bytes or shorter SHOULD send one that is one byte shorter. Longer
    // ones vary in size as small packets do.
    const spread = new Uint8Array(1);
    random(spread);
    const length = Math.min(largest, TYPICAL_STATELESS_RESET + (spread[0]! & 0x1f));
    const cid = buf.slice(start + 1, start + 1 + cidLength);
    const bytes = encodeStatelessReset(deriveResetToken(provider, resetKey, cid), length, random);
    return this.#push("stateless_reset", bytes, remote, local, now);
  }

  /**
   * Answers a client's Initial with a Retry, rfc9000#17.2.5: `scid` is the connection ID it is to send to next.
   * rfc9000#17.2.5.1 a server MUST NOT send more than one Retry packet in response to a single UDP datagram.
   */
  retry(
    buf: Uint8Array,
    header: LongHeader,
    scid: Uint8Array,
    token: Uint8Array,
    remote: Address,
    local: Address | null,
    now: number,
  ): AnswerResult {
    const { provider, random } = this.#options;
    const bits = new Uint8Array(1);
    random(bits);
    const dcid = buf.subarray(header.dcidOffset, header.dcidOffset + header.dcidLength);
    const peer = buf.subarray(header.scidOffset, header.scidOffset + header.scidLength);
    const packet = encodeRetry(header.version, peer, scid, token, bits[0]!);
    const tag = retryIntegrityTag(provider, header.version, dcid, packet);
    return this.#push("retry", concatBytes(packet, tag), remote, local, now);
  }

  /**
   * rfc9000#5.2.2 if a server refuses to accept a new connection, it SHOULD send an Initial packet containing a
   * CONNECTION_CLOSE frame with error code CONNECTION_REFUSED (or INVALID_TOKEN, rfc9000#8.1.3). Made with the Initial keys of the packet refused, and
   * forgotten: it is not ack-eliciting, so it needs neither 1,200 bytes nor an answer.
   */
  refuse(initial: RefusedInitial, refusal: CloseReason, now: number): AnswerResult {
    const { version, dcid, peerScid, remote, local } = initial;
    const denied = this.denied("connection_close", remote, local, now);
    if (denied !== null) return denied;
    const { provider, random } = this.#options;
    const scid = new Uint8Array(8);
    random(scid);
    const protection = new PacketProtection(provider, "server", version);
    try {
      protection.installInitial(version, dcid);
      const { errorCode, frameType = 0 } = refusal;
      const reason = phrase(refusal.reason ?? "");
      // Longest connection IDs, numbers and tag included.
      const out = new Uint8Array(128 + reason.length);
      const pnOffset = writeLongHeader(out, 0, PACKET_INITIAL, version, peerScid, scid, NO_TOKEN, 1, 0);
      let end = writeConnectionClose(out, pnOffset + 1, out.length - 28, false, errorCode, frameType, reason);
      // rfc9001#5.4.2 packet number and payload make at least four bytes, so that there is a sample to mask with.
      while (end < pnOffset + 4) end++;
      patchLength(out, pnOffset, end + 16 - pnOffset);
      protection.seal(INITIAL, out, 0, pnOffset, 1, end, 0);
      protection.maskPending();
      return this.#push("connection_close", out.slice(0, end + 16), remote, local, now);
    } finally {
      protection.disposeAll();
    }
  }

  /** Moves what fits into the batch; true when more waits. */
  transmit(tx: TxBatch): boolean {
    // rfc9000#17.2.1 A server MUST NOT send more than one Version Negotiation packet in response to a single UDP
    // datagram.
    for (;;) {
      const answer = this.#queue.peek();
      if (answer === undefined) return false;
      const { bytes, remote, local } = answer;
      if (!tx.hasRoom(bytes.length)) return true;
      tx.slab.set(bytes, tx.used);
      tx.commit(bytes.length, bytes.length, remote, local, NOT_ECT);
      this.#queue.shift();
    }
  }

  /** Why an answer of `kind` would not be sent now, null where it would: its rate is charged then. */
  denied(kind: StatelessKind, remote: Address, local: Address | null, now: number): AnswerResult | null {
    // An answer to ourselves would come back as a question.
    if (local !== null && sameAddress(remote, local)) return "invalid_source";
    // Not sent for long, they would pile up.
    if (this.#queue.size >= MAX_QUEUED_ANSWERS) return "rate_limited";
    return this.#options.hosts.take(RATED[kind], remote, now) ? null : "rate_limited";
  }

  #push(
    kind: StatelessKind,
    bytes: Uint8Array,
    remote: Address,
    local: Address | null,
    now: number,
  ): AnswerResult {
    if (bytes.length > MIN_DATAGRAM_SIZE) return "none";
    this.#queue.push({ bytes, remote, local });
    this.#options.stats.statelessSent[kind]++;
    if (this.#options.tracer !== null) {
      this.#options.tracer.record({ name: "stateless_sent", time: now, kind, remote: remote.key });
    }
    return "queued";
  }
}

const NO_TOKEN = new Uint8Array(0);
