// 1-RTT keys and their generations: rfc9001#6.

import type { CryptoProvider, PacketAead } from "../crypto/provider.ts";
import type { CipherSuite } from "../crypto/suites.ts";
import { KEY_UPDATE_ERROR } from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import { deriveAead, nextSecret } from "./packet-keys.ts";

/**
 * Read keys of up to three generations: the current one, the previous one while late packets may come, the next one
 * made in advance so that a key update takes no longer than any packet (rfc9001#6.3, rfc9001#9.5).
 */
export class OneRttKeys {
  readonly #provider: CryptoProvider;
  readonly #suite: CipherSuite;
  readonly #version: number;
  #readSecret: Uint8Array | null = null;
  #writeSecret: Uint8Array | null = null;
  #previous: PacketAead | null = null;
  #current: PacketAead | null = null;
  #next: PacketAead | null = null;
  write: PacketAead | null = null;
  /** Key phase bit of what we send. */
  writePhase: 0 | 1 = 0;
  #readPhase: 0 | 1 = 0;
  /** Lowest packet number received, and sent, with the current keys. */
  #firstReceived = Infinity;
  #firstSent = Infinity;
  /** A packet of ours with the current write keys was acknowledged: another update may begin, rfc9001#6.1. */
  #confirmed = false;
  /** Packets sealed with the current write key, for the confidentiality limit. */
  sealed = 0;
  updates = 0;

  constructor(provider: CryptoProvider, suite: CipherSuite, version: number) {
    this.#provider = provider;
    this.#suite = suite;
    this.#version = version;
  }

  get canOpen(): boolean {
    return this.#current !== null;
  }

  setRead(secret: Uint8Array): void {
    this.#readSecret = secret.slice();
    this.#current = this.#derive(secret);
  }

  setWrite(secret: Uint8Array): void {
    this.#writeSecret = secret.slice();
    this.write = this.#derive(secret);
  }

  #derive(secret: Uint8Array): PacketAead {
    return deriveAead(this.#provider, this.#suite, this.#version, secret);
  }

  /** Opens one packet, choosing the key by phase and packet number. `updated` says that the peer moved on. */
  open(
    buf: Uint8Array,
    start: number,
    headerLength: number,
    payload: number,
    length: number,
    pn: number,
    phase: number,
  ): "no" | "yes" | "updated" {
    if (phase === this.#readPhase) {
      if (!this.#current!.open(buf, start, headerLength, payload, length, pn)) return "no";
      if (pn < this.#firstReceived) this.#firstReceived = pn;
      return "yes";
    }
    // rfc9001#6.3 a packet with a lower number than any of the current phase is of the previous one.
    if (pn < this.#firstReceived && this.#previous !== null) {
      return this.#previous.open(buf, start, headerLength, payload, length, pn) ? "yes" : "no";
    }
    if (pn < this.#firstReceived && this.#firstReceived !== Infinity) return "no";
    this.#prepareNext();
    if (!this.#next!.open(buf, start, headerLength, payload, length, pn)) return "no";
    // rfc9001#6.2 an endpoint that receives a second update before its own update was acknowledged MAY treat it as
    // KEY_UPDATE_ERROR: the peer cannot have seen our packets of this phase.
    if (this.writePhase === this.#readPhase && this.updates > 0 && this.#firstSent === Infinity) {
      throw new TransportError(KEY_UPDATE_ERROR, "keys updated again before the last update was answered");
    }
    this.#advanceRead(pn);
    // rfc9001#6.2 the endpoint MUST update its send keys in response, before it acknowledges the packet.
    if (this.writePhase !== this.#readPhase) this.#advanceWrite();
    return "updated";
  }

  #prepareNext(): void {
    if (this.#next !== null) return;
    const secret = nextSecret(this.#provider, this.#suite, this.#version, this.#readSecret!);
    this.#readSecret!.fill(0);
    this.#readSecret = secret;
    this.#next = this.#derive(secret);
  }

  #advanceRead(pn: number): void {
    this.#previous?.dispose();
    this.#previous = this.#current;
    this.#current = this.#next;
    this.#next = null;
    this.#readPhase = this.#readPhase === 0 ? 1 : 0;
    this.#firstReceived = pn;
    this.updates++;
  }

  #advanceWrite(): void {
    const secret = nextSecret(this.#provider, this.#suite, this.#version, this.#writeSecret!);
    this.#writeSecret!.fill(0);
    this.#writeSecret = secret;
    this.write!.dispose();
    this.write = this.#derive(secret);
    this.writePhase = this.writePhase === 0 ? 1 : 0;
    this.#firstSent = Infinity;
    this.#confirmed = false;
    this.sealed = 0;
  }

  /**
   * rfc9001#6.1 an endpoint MUST NOT initiate a key update prior to having confirmed the handshake, nor a subsequent
   * one unless it has received an acknowledgment for a packet of the current phase.
   */
  initiate(): boolean {
    if (!this.#confirmed || this.writePhase !== this.#readPhase) return false;
    this.#advanceWrite();
    return true;
  }

  onSent(pn: number): void {
    if (this.#firstSent === Infinity) this.#firstSent = pn;
  }

  /**
   * rfc9001#6.2 an endpoint that receives an acknowledgment in a packet protected with old keys, for a packet
   * protected with newer keys, MAY treat that as KEY_UPDATE_ERROR.
   */
  onAcked(largest: number, packetNumber: number): void {
    if (largest < this.#firstSent) return;
    if (this.writePhase !== this.#readPhase || packetNumber < this.#firstReceived) {
      throw new TransportError(KEY_UPDATE_ERROR, "packet of new keys acknowledged with old keys");
    }
    this.#confirmed = true;
  }

  get hasPrevious(): boolean {
    return this.#previous !== null;
  }

  /** rfc9001#6.5 old read keys are kept for no more than three times the PTO. */
  dropPrevious(): void {
    this.#previous?.dispose();
    this.#previous = null;
  }

  dispose(): void {
    for (const aead of [this.#previous, this.#current, this.#next, this.write]) aead?.dispose();
    this.#previous = this.#current = this.#next = this.write = null;
    this.#readSecret?.fill(0);
    this.#writeSecret?.fill(0);
  }
}
