// Packet protection of one connection, all levels and both directions: rfc9001#5. Packets are opened and sealed in
// place; header masks are made for many packets at once.

import type { CryptoProvider, HeaderProtector, PacketAead } from "../crypto/provider.ts";
import { AES_128_GCM_SHA256, type CipherSuite } from "../crypto/suites.ts";
import { AEAD_LIMIT_REACHED, APPLICATION, INITIAL, type Level, type Role } from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import {
  CONFIDENTIALITY_LIMIT_AES_GCM,
  CONFIDENTIALITY_LIMIT_CHACHA20,
  INTEGRITY_LIMIT_AES_GCM,
  INTEGRITY_LIMIT_CHACHA20,
} from "../protocol/limits.ts";
import { decodePacketNumber } from "../wire/packet-number.ts";
import { initialSecrets } from "./initial.ts";
import { OneRttKeys } from "./one-rtt-keys.ts";
import { deriveAead, deriveHeaderProtector } from "./packet-keys.ts";

const TAG = 16;
/** The sample is taken as if the packet number had 4 bytes, rfc9001#5.4.2. */
const SAMPLE_AT = 4;
const SAMPLE = 16;
/** Packets whose masks are made in one call. */
const BATCH = 64;

interface LevelKeys {
  readAead: PacketAead | null;
  writeAead: PacketAead | null;
  readHp: HeaderProtector | null;
  writeHp: HeaderProtector | null;
  discarded: boolean;
}

function noKeys(): LevelKeys {
  return { readAead: null, writeAead: null, readHp: null, writeHp: null, discarded: false };
}

/** Keys and what is done with them. */
export class PacketProtection {
  readonly #provider: CryptoProvider;
  readonly #role: Role;
  #version: number;
  readonly #levels: readonly LevelKeys[] = [noKeys(), noKeys(), noKeys(), noKeys()];
  #oneRtt: OneRttKeys | null = null;
  #confidentialityLimit = CONFIDENTIALITY_LIMIT_AES_GCM;
  #integrityLimit = INTEGRITY_LIMIT_AES_GCM;
  /** Packets that did not authenticate, over all keys: rfc9001#6.6. */
  failedOpens = 0;

  /** Of the last header unmasked. */
  pn = 0;
  pnLength = 0;
  keyPhase: 0 | 1 = 0;
  reservedBitsSet = false;
  /** The last packet opened made the peer's key update effective; the old read keys are to be dropped in 3 PTO. */
  peerUpdated = false;

  readonly #samples = new Uint8Array(SAMPLE * BATCH);
  readonly #masks = new Uint8Array(SAMPLE * BATCH);
  readonly #mask = new Uint8Array(SAMPLE);
  readonly #sample = new Uint8Array(SAMPLE);

  // Packets sealed and not masked yet.
  readonly #pendingStart = new Int32Array(BATCH);
  readonly #pendingPn = new Int32Array(BATCH);
  readonly #pendingPnLength = new Uint8Array(BATCH);
  #pendingCount = 0;
  #pendingLevel: Level = INITIAL;
  #pendingBuf: Uint8Array | null = null;

  constructor(provider: CryptoProvider, role: Role, version: number) {
    this.#provider = provider;
    this.#role = role;
    this.#version = version;
  }

  /** Initial keys from the client's DCID, or again from a Retry's SCID: rfc9001#5.2. */
  installInitial(version: number, dcid: Uint8Array): void {
    this.#version = version;
    const { client, server } = initialSecrets(this.#provider, version, dcid);
    const [read, write] = this.#role === "client" ? [server, client] : [client, server];
    this.#dispose(INITIAL);
    this.install(INITIAL, AES_128_GCM_SHA256, read, write);
  }

  /** Keys of `level` from TLS's secrets, which are not kept. */
  install(level: Level, suite: CipherSuite, read: Uint8Array | null, write: Uint8Array | null): void {
    const keys = this.#levels[level]!;
    const provider = this.#provider;
    const version = this.#version;
    if (level === APPLICATION) {
      const oneRtt = (this.#oneRtt ??= new OneRttKeys(provider, suite, version));
      if (read !== null) oneRtt.setRead(read);
      if (write !== null) oneRtt.setWrite(write);
      if (suite.aead === "chacha20-poly1305") {
        this.#confidentialityLimit = CONFIDENTIALITY_LIMIT_CHACHA20;
        this.#integrityLimit = INTEGRITY_LIMIT_CHACHA20;
      }
    } else {
      if (read !== null) keys.readAead = deriveAead(provider, suite, version, read);
      if (write !== null) keys.writeAead = deriveAead(provider, suite, version, write);
    }
    if (read !== null) keys.readHp = deriveHeaderProtector(provider, suite, version, read);
    if (write !== null) keys.writeHp = deriveHeaderProtector(provider, suite, version, write);
  }

  canOpen(level: Level): boolean {
    return this.#levels[level]!.readHp !== null;
  }

  canSeal(level: Level): boolean {
    return this.#levels[level]!.writeHp !== null;
  }

  wasDiscarded(level: Level): boolean {
    return this.#levels[level]!.discarded;
  }

  /** rfc9001#4.9: keys that are no longer needed go, and cannot come back. */
  discard(level: Level): void {
    if (this.#pendingCount > 0) this.maskPending();
    this.#dispose(level);
    this.#levels[level]!.discarded = true;
  }

  #dispose(level: Level): void {
    const keys = this.#levels[level]!;
    keys.readAead?.dispose();
    keys.writeAead?.dispose();
    keys.readHp?.dispose();
    keys.writeHp?.dispose();
    keys.readAead = keys.writeAead = keys.readHp = keys.writeHp = null;
    if (level === APPLICATION) {
      this.#oneRtt?.dispose();
      this.#oneRtt = null;
    }
  }

  disposeAll(): void {
    for (let level = 0; level < 4; level++) this.discard(level as Level);
    this.#masks.fill(0);
    this.#mask.fill(0);
  }

  // Receiving

  /**
   * Removes header protection in place and decodes the packet number: sets pn, pnLength, keyPhase, reservedBitsSet.
   * False where the packet is too short to hold a sample (rfc9001#5.4.2).
   */
  unprotectHeader(level: Level, buf: Uint8Array, start: number, pnOffset: number, end: number, largest: number): boolean {
    if (pnOffset + SAMPLE_AT + SAMPLE > end) return false;
    const sample = this.#sample;
    const at = pnOffset + SAMPLE_AT;
    for (let i = 0; i < SAMPLE; i++) sample[i] = buf[at + i]!;
    this.#levels[level]!.readHp!.masks(sample, 1, this.#mask);
    this.#unmask(level, buf, start, pnOffset, this.#mask, 0);
    this.readPacketNumber(level, buf, start, pnOffset, largest);
    return true;
  }

  /**
   * Unmasks `n` 1-RTT headers with one call for their masks; a packet too short for a sample gets −1 in `pnOffsets`.
   * Follow with `readPacketNumber` for each, in order.
   */
  unprotectHeaders(buf: Uint8Array, starts: Int32Array, pnOffsets: Int32Array, ends: Int32Array, n: number): void {
    const samples = this.#samples;
    for (let from = 0; from < n; from += BATCH) {
      const to = Math.min(n, from + BATCH);
      let count = 0;
      for (let i = from; i < to; i++) {
        if (pnOffsets[i]! + SAMPLE_AT + SAMPLE > ends[i]!) {
          pnOffsets[i] = -1;
          continue;
        }
        const at = pnOffsets[i]! + SAMPLE_AT;
        const into = SAMPLE * count++;
        for (let k = 0; k < SAMPLE; k++) samples[into + k] = buf[at + k]!;
      }
      this.#levels[APPLICATION]!.readHp!.masks(samples, count, this.#masks);
      count = 0;
      for (let i = from; i < to; i++) {
        if (pnOffsets[i]! >= 0) this.#unmask(APPLICATION, buf, starts[i]!, pnOffsets[i]!, this.#masks, SAMPLE * count++);
      }
    }
  }

  #unmask(level: Level, buf: Uint8Array, start: number, pnOffset: number, mask: Uint8Array, at: number): void {
    // rfc9001#5.4.1 the four least significant bits of a long header, five of a short one.
    buf[start]! ^= mask[at]! & (level === APPLICATION ? 0x1f : 0x0f);
    const length = (buf[start]! & 0x03) + 1;
    for (let i = 0; i < length; i++) buf[pnOffset + i]! ^= mask[at + 1 + i]!;
  }

  /** Reads an unmasked header: sets pn, pnLength, keyPhase, reservedBitsSet. */
  readPacketNumber(level: Level, buf: Uint8Array, start: number, pnOffset: number, largest: number): void {
    const first = buf[start]!;
    const length = (first & 0x03) + 1;
    let truncated = 0;
    for (let i = 0; i < length; i++) truncated = truncated * 256 + buf[pnOffset + i]!;
    this.pnLength = length;
    this.pn = decodePacketNumber(largest, truncated, 8 * length);
    this.keyPhase = (first & 0x04) === 0 ? 0 : 1;
    this.reservedBitsSet = (first & (level === APPLICATION ? 0x18 : 0x0c)) !== 0;
  }

  /**
   * Opens the packet whose header was read last, in place. The payload begins at pnOffset + pnLength.
   * @returns the payload's length, −1 where it does not authenticate.
   * @throws {TransportError} AEAD_LIMIT_REACHED, KEY_UPDATE_ERROR.
   */
  open(level: Level, buf: Uint8Array, start: number, pnOffset: number, end: number): number {
    const payload = pnOffset + this.pnLength;
    const length = end - payload;
    const headerLength = payload - start;
    let ok: boolean;
    this.peerUpdated = false;
    if (level === APPLICATION) {
      const outcome = this.#oneRtt!.open(buf, start, headerLength, payload, length, this.pn, this.keyPhase);
      ok = outcome !== "no";
      this.peerUpdated = outcome === "updated";
    } else {
      ok = this.#levels[level]!.readAead!.open(buf, start, headerLength, payload, length, this.pn);
    }
    if (ok) return length - TAG;
    // rfc9001#6.6 if the total number of received packets that fail authentication exceeds the integrity limit, the
    // endpoint MUST immediately close the connection with AEAD_LIMIT_REACHED.
    if (++this.failedOpens > this.#integrityLimit) {
      throw new TransportError(AEAD_LIMIT_REACHED, "too many packets failed to authenticate");
    }
    return -1;
  }

  // Sending

  /** Key phase bit for the next 1-RTT packet. */
  get sendPhase(): 0 | 1 {
    return this.#oneRtt?.writePhase ?? 0;
  }

  /**
   * Seals `buf[pnOffset + pnLength, end)` in place, tag behind it; the header is masked by `maskPending`.
   * @throws {TransportError} AEAD_LIMIT_REACHED.
   */
  seal(
    level: Level,
    buf: Uint8Array,
    start: number,
    pnOffset: number,
    pnLength: number,
    end: number,
    pn: number,
  ): void {
    if (this.#pendingCount === BATCH || (this.#pendingCount > 0 && this.#pendingLevel !== level)) this.maskPending();
    const payload = pnOffset + pnLength;
    let aead: PacketAead;
    if (level === APPLICATION) {
      const oneRtt = this.#oneRtt!;
      // rfc9001#6.6 endpoints MUST initiate a key update before sending more protected packets than the
      // confidentiality limit permits, and if that is not possible MUST stop using the connection.
      if (++oneRtt.sealed > this.#confidentialityLimit) {
        throw new TransportError(AEAD_LIMIT_REACHED, "confidentiality limit reached");
      }
      oneRtt.onSent(pn);
      aead = oneRtt.write!;
    } else {
      aead = this.#levels[level]!.writeAead!;
    }
    aead.seal(buf, start, payload - start, payload, end - payload, pn);
    const i = this.#pendingCount++;
    this.#pendingBuf = buf;
    this.#pendingLevel = level;
    this.#pendingStart[i] = start;
    this.#pendingPn[i] = pnOffset;
    this.#pendingPnLength[i] = pnLength;
  }

  /** Applies header protection to everything sealed since the last call. */
  maskPending(): void {
    const n = this.#pendingCount;
    if (n === 0) return;
    this.#pendingCount = 0;
    const buf = this.#pendingBuf!;
    const samples = this.#samples;
    for (let i = 0; i < n; i++) {
      const at = this.#pendingPn[i]! + SAMPLE_AT;
      for (let k = 0; k < SAMPLE; k++) samples[SAMPLE * i + k] = buf[at + k]!;
    }
    const masks = this.#masks;
    this.#levels[this.#pendingLevel]!.writeHp!.masks(samples, n, masks);
    const bits = this.#pendingLevel === APPLICATION ? 0x1f : 0x0f;
    for (let i = 0; i < n; i++) {
      const at = SAMPLE * i;
      buf[this.#pendingStart[i]!]! ^= masks[at]! & bits;
      const pnOffset = this.#pendingPn[i]!;
      for (let k = 0; k < this.#pendingPnLength[i]!; k++) buf[pnOffset + k]! ^= masks[at + 1 + k]!;
    }
    this.#pendingBuf = null;
  }

  // Key update

  /** Updates our send keys, when the RFC allows it now. */
  initiateKeyUpdate(): boolean {
    return this.#oneRtt?.initiate() ?? false;
  }

  /** Whether the confidentiality limit asks for an update soon (at seven eighths of it). */
  get updateDue(): boolean {
    return this.#oneRtt !== null && this.#oneRtt.sealed > this.#confidentialityLimit * 0.875;
  }

  get keyUpdates(): number {
    return this.#oneRtt?.updates ?? 0;
  }

  /** An ACK in 1-RTT packet `packetNumber` covers `largest`. */
  onAcked(largest: number, packetNumber: number): void {
    this.#oneRtt?.onAcked(largest, packetNumber);
  }

  dropOldReadKeys(): void {
    this.#oneRtt?.dropPrevious();
  }
}
