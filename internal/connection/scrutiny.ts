// A client's look at the Initials it gets before it lets them change anything. Their keys are known to everybody who saw
// its first packet, so anybody on the path can make one (rfc9001#5.2: they provide no confidentiality or integrity
// against those); and what answers first would decide whom the client talks to. rfc9000#5.2 invalid packets that lack
// strong integrity protection, such as Initial, Retry, or Version Negotiation, MAY be discarded.
//
// What begins like a server's answer is believed. Anything else that would end the attempt waits: an honest server's
// answer that comes in the meantime refutes it. Who forges a whole ServerHello still ends the attempt: until TLS has
// authenticated the server nothing can tell the two apart.

import { PacketProtection } from "../handshake/protection.ts";
import { INITIAL, PACKET_INITIAL } from "../protocol/constants.ts";
import { FrameCollector } from "../wire/frame-objects.ts";
import { parseFrames, type AckFrame } from "../wire/frames.ts";
import type { CryptoProvider } from "../crypto/provider.ts";

export type Verdict =
  /** It begins a server's answer. */
  | "believed"
  /** It acknowledges, and says nothing else. */
  | "acknowledgement"
  /** The answer goes on, and its beginning has not come. */
  | "early"
  /** It would end the attempt. */
  | "doubtful";

const SERVER_HELLO = 2;

/** Looks at frames and does nothing about them. */
class Witness extends FrameCollector {
  begins = false;
  continues = false;
  doubtful = false;
  readonly #nextNumber: number;

  constructor(nextNumber: number) {
    super();
    this.#nextNumber = nextNumber;
  }

  override onAck(ack: AckFrame): void {
    // rfc9000#13.1 an acknowledgment for a packet that was not sent
    if (ack.largest >= this.#nextNumber) this.doubtful = true;
  }

  override onCrypto(offset: number, buf: Uint8Array, start: number, length: number): void {
    if (length === 0) return;
    if (offset > 0) this.continues = true;
    // rfc8446#4.1.3 ServerHello, or HelloRetryRequest, which has its form; legacy_version is 0x0303.
    else if (buf[start] !== SERVER_HELLO) this.doubtful = true;
    else if (length >= 6 && (buf[start + 4] !== 3 || buf[start + 5] !== 3)) this.doubtful = true;
    else this.begins = true;
  }

  override onConnectionClose(): void {
    this.doubtful = true;
  }
}

export class Scrutiny {
  readonly #provider: CryptoProvider;
  /** Opens what answers our first Initial, when a Retry has changed the keys. */
  #original: PacketProtection | null = null;

  constructor(provider: CryptoProvider) {
    this.#provider = provider;
  }

  /** A Retry was followed: a server that answers the first Initial all the same proves it forged. */
  onRetry(version: number, original: Uint8Array): void {
    this.#original = new PacketProtection(this.#provider, "client", version);
    this.#original.installInitial(version, original);
  }

  /** Whether this Initial begins an answer to the first one, which no server gives that sent a Retry. */
  answersFirst(packet: Uint8Array, pnOffset: number, nextNumber: number): boolean {
    const keys = this.#original;
    if (keys === null) return false;
    // The packet may have to be opened again, with other keys.
    const copy = packet.slice();
    if (!keys.unprotectHeader(INITIAL, copy, 0, pnOffset, copy.length, -1)) return false;
    const length = keys.open(INITIAL, copy, 0, pnOffset, copy.length);
    if (length < 0) return false;
    const payload = pnOffset + keys.pnLength;
    return this.weigh(copy, payload, payload + length, nextNumber, keys.reservedBitsSet) === "believed";
  }

  /** An Initial that is open: its frames. */
  weigh(buf: Uint8Array, from: number, to: number, nextNumber: number, reservedBitsSet: boolean): Verdict {
    if (reservedBitsSet) return "doubtful";
    const witness = new Witness(nextNumber);
    try {
      parseFrames(buf, from, to, PACKET_INITIAL, witness);
    } catch {
      return "doubtful";
    }
    if (witness.doubtful) return "doubtful";
    if (witness.begins) return "believed";
    return witness.continues ? "early" : "acknowledgement";
  }

  dispose(): void {
    this.#original?.disposeAll();
    this.#original = null;
  }
}
