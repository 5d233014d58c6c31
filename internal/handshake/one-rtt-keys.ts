// 1-RTT keys and their generations: rfc9001#6.

import type { CryptoProvider, PacketAead } from "../crypto/provider.ts";
import type { CipherSuite } from "../crypto/suites.ts";
import { KEY_UPDATE_ERROR, type Role } from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import { smallCopy } from "../protocol/small-bytes.ts";
import { deriveAead, nextSecret } from "./packet-keys.ts";

/** What became of a packet. */
export const OPEN_FAILED = 0;
export const OPENED = 1;
/** Opened, and the peer uses the next keys from here on. */
export const OPENED_UPDATE = 2;

/**
 * Read keys of up to three generations: the current one, the previous one while late packets may come, the next one
 * made in advance so that a key update takes no longer than any packet (rfc9001#6.3, rfc9001#9.5).
 */
export class OneRttKeys {
  readonly #provider: CryptoProvider;
  readonly #suite: CipherSuite;
  readonly #version: number;
  readonly #role: Role;
  /** Of the newest read keys that exist. */
  #readSecret: Uint8Array | null = null;
  #writeSecret: Uint8Array | null = null;
  #previous: PacketAead | null = null;
  #current: PacketAead | null = null;
  #next: PacketAead | null = null;
  write: PacketAead | null = null;
  /** Key phase bit of what we send. */
  writePhase: 0 | 1 = 0;
  #readPhase: 0 | 1 = 0;
  /** Lowest and highest packet number opened with the current keys. */
  #lowestOpened = Infinity;
  #highestOpened = -1;
  /** Highest packet number opened with older keys than the current ones. */
  #highestOld = -1;
  /** The last packet opened was protected with the previous keys. */
  #lastWasOld = false;
  /** Lowest packet number sealed with the current keys. */
  #firstSent = Infinity;
  /** A packet of ours with the current write keys was acknowledged. */
  #confirmed = false;
  /** An ACK left after the first packet with the current read keys came: the peer can know that we have them. */
  #answered = false;
  /** Packets sealed with the current write key, for the confidentiality limit. */
  sealed = 0;
  /** Generation of the read keys. */
  updates = 0;

  constructor(provider: CryptoProvider, suite: CipherSuite, version: number, role: Role) {
    this.#provider = provider;
    this.#suite = suite;
    this.#version = version;
    this.#role = role;
  }

  setRead(secret: Uint8Array): void {
    this.#readSecret = smallCopy(secret);
    this.#current = this.#derive(secret);
    this.#prepareNext();
  }

  setWrite(secret: Uint8Array): void {
    this.#writeSecret = smallCopy(secret);
    this.write = this.#derive(secret);
  }

  #derive(secret: Uint8Array): PacketAead {
    return deriveAead(this.#provider, this.#suite, this.#version, secret);
  }

  /**
   * Opens one packet, choosing the key by phase and packet number. There is one attempt per packet, and it costs the
   * same whichever key it is, so that timing says nothing about the phase bit: rfc9001#9.5.
   */
  open(
    buf: Uint8Array,
    start: number,
    headerLength: number,
    payload: number,
    length: number,
    pn: number,
    phase: number,
  ): typeof OPEN_FAILED | typeof OPENED | typeof OPENED_UPDATE {
    // rfc9001#6.3 Endpoints responding to an apparent key update MUST NOT generate a timing side-channel signal that
    // might indicate that the Key Phase bit was invalid (see Section 9.5).
    // rfc9001#5.5 Similarly, a packet that appears to trigger a key update but cannot be unprotected successfully
    // MUST be discarded.
    // rfc9001#5.5 Once an endpoint successfully receives a packet with a given packet number, it MUST discard all
    // packets in the same packet number space with higher packet numbers …
    if (phase === this.#readPhase) {
      if (!this.#current!.open(buf, start, headerLength, payload, length, pn)) return OPEN_FAILED;
      if (pn < this.#highestOld) throw oldKeysError();
      if (pn < this.#lowestOpened) this.#lowestOpened = pn;
      if (pn > this.#highestOpened) this.#highestOpened = pn;
      this.#lastWasOld = false;
      return OPENED;
    }
    // rfc9001#6.5 a recovered packet number that is lower than any packet number from the current key phase uses the
    // previous packet protection keys; a higher one requires the next ones.
    if (this.#previous !== null && pn < this.#lowestOpened) {
      if (!this.#previous.open(buf, start, headerLength, payload, length, pn)) return OPEN_FAILED;
      if (pn > this.#highestOld) this.#highestOld = pn;
      this.#lastWasOld = true;
      return OPENED;
    }
    // Without previous keys a late packet fails here as well: the attempt is made all the same, for its time.
    this.#prepareNext();
    if (!this.#next!.open(buf, start, headerLength, payload, length, pn)) return OPEN_FAILED;
    // rfc9001#6.4 packets with higher packet numbers MUST be protected with either the same or newer keys than
    // packets with lower packet numbers; the contrary MUST be treated as KEY_UPDATE_ERROR.
    if (pn < this.#highestOpened) throw oldKeysError();
    // rfc9001#6.2 a second update before this side has sent any packets with updated keys containing an acknowledgment:
    // the peer has not awaited confirmation. An endpoint MAY treat such consecutive key updates as KEY_UPDATE_ERROR.
    if (this.updates > 0 && this.writePhase === this.#readPhase && !this.#answered) {
      throw new TransportError(KEY_UPDATE_ERROR, "keys updated again before the last update was answered");
    }
    // rfc9001#6.1 an endpoint MUST NOT initiate a key update prior to having confirmed the handshake: a client has that
    // from a 1-RTT packet of ours, HANDSHAKE_DONE or an ACK (rfc9001#4.1.2). An update of our own that goes on at the same
    // time had that before.
    const own = this.writePhase !== this.#readPhase;
    if (this.#role === "server" && this.updates === 0 && this.#firstSent === Infinity && !own) {
      throw new TransportError(KEY_UPDATE_ERROR, "keys updated before the handshake can be confirmed");
    }
    this.#advanceRead(pn);
    // rfc9001#6.2 the endpoint MUST update its send keys to the corresponding key phase in response, before sending an
    // acknowledgment for the packet.
    if (this.writePhase !== this.#readPhase) this.#advanceWrite();
    return OPENED_UPDATE;
  }

  #prepareNext(): void {
    // rfc9001#6.3 For this reason, endpoints MUST be able to retain two sets of packet protection keys for receiving
    // packets: the current and the next.
    if (this.#next !== null) return;
    const secret = nextSecret(this.#provider, this.#suite, this.#version, this.#readSecret!);
    this.#next = this.#derive(secret);
    // In the place of the old one, which is gone with that.
    this.#readSecret!.set(secret);
    secret.fill(0);
  }

  #advanceRead(pn: number): void {
    this.#previous?.dispose();
    this.#previous = this.#current;
    this.#current = this.#next;
    // rfc9001#6.3 for a short period after a key update completes endpoints MAY defer generation of the next keys:
    // `dropPrevious` makes them.
    this.#next = null;
    this.#readPhase = this.#readPhase === 0 ? 1 : 0;
    this.#highestOld = this.#highestOpened;
    this.#lowestOpened = pn;
    this.#highestOpened = pn;
    this.#lastWasOld = false;
    this.#answered = false;
    this.updates++;
  }

  /** rfc9001#6.4 keys used for protecting packets can be discarded immediately after switching to newer keys. */
  #advanceWrite(): void {
    const secret = nextSecret(this.#provider, this.#suite, this.#version, this.#writeSecret!);
    this.#writeSecret!.set(secret);
    this.write!.dispose();
    this.write = this.#derive(secret);
    secret.fill(0);
    this.writePhase = this.writePhase === 0 ? 1 : 0;
    this.#firstSent = Infinity;
    this.#confirmed = false;
    this.sealed = 0;
  }

  /**
   * rfc9001#6.1 an endpoint MUST NOT initiate a key update prior to having confirmed the handshake, and MUST NOT
   * initiate a subsequent one unless it has received an acknowledgment for a packet of the current key phase. The
   * acknowledgment is asked for the first time too: for a 1-RTT packet it confirms the handshake, rfc9001#4.1.2.
   * rfc9001#6.5 endpoints SHOULD wait three times the PTO after the previous one: until the old keys are dropped.
   */
  get mayInitiate(): boolean {
    return this.#confirmed && this.#previous === null && this.writePhase === this.#readPhase;
  }

  initiate(): boolean {
    if (!this.mayInitiate) return false;
    this.#advanceWrite();
    return true;
  }

  onSent(pn: number): void {
    if (this.#firstSent === Infinity) this.#firstSent = pn;
  }

  /** An ACK frame is in the packet sealed next. */
  onAckSent(): void {
    this.#answered = true;
  }

  /** The packet opened last acknowledges `largest`. */
  onAcked(largest: number): void {
    if (largest < this.#firstSent) return;
    // rfc9001#6.2 an acknowledgment in a packet protected with old keys, where any acknowledged packet was protected
    // with newer keys: an endpoint MAY treat that as KEY_UPDATE_ERROR.
    if (this.#lastWasOld || this.writePhase !== this.#readPhase) {
      throw new TransportError(KEY_UPDATE_ERROR, "packet of new keys acknowledged with old keys");
    }
    this.#confirmed = true;
  }

  get hasPrevious(): boolean {
    return this.#previous !== null;
  }

  /** rfc9001#6.5 an endpoint SHOULD retain old read keys for no more than three times the PTO. */
  dropPrevious(): void {
    this.#previous?.dispose();
    this.#previous = null;
    if (this.#readSecret !== null) this.#prepareNext();
  }

  dispose(): void {
    for (const aead of [this.#previous, this.#current, this.#next, this.write]) aead?.dispose();
    this.#previous = this.#current = this.#next = this.write = null;
    this.#readSecret?.fill(0);
    this.#writeSecret?.fill(0);
    this.#readSecret = this.#writeSecret = null;
  }
}

function oldKeysError(): TransportError {
  return new TransportError(KEY_UPDATE_ERROR, "old keys used for a higher packet number than new ones");
}
