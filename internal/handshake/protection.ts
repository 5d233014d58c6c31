// Packet protection of one connection, all levels and both directions: rfc9001#5. Packets are opened and sealed in
// place; header masks are made for many packets at once.

import type { CryptoProvider, HeaderProtector, PacketAead } from "../crypto/provider.ts";
import { AES_128_GCM_SHA256, type CipherSuite } from "../crypto/suites.ts";
import {
  AEAD_LIMIT_REACHED,
  APPLICATION,
  INITIAL,
  ZERO_RTT,
  type Level,
  type Role,
} from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import { NO_BYTES } from "../protocol/small-bytes.ts";
import {
  CONFIDENTIALITY_LIMIT_AES_GCM,
  CONFIDENTIALITY_LIMIT_CHACHA20,
  FIRST_KEY_UPDATE,
  INTEGRITY_LIMIT_AES_GCM,
  INTEGRITY_LIMIT_CHACHA20,
  KEY_UPDATE_INTERVAL,
  RESERVED_SEALS,
} from "../protocol/limits.ts";
import { decodePacketNumber } from "../wire/packet-number.ts";
import { initialSecrets } from "./initial.ts";
import { OneRttKeys, OPEN_FAILED, OPENED_UPDATE } from "./one-rtt-keys.ts";
import { deriveAead, deriveHeaderProtector } from "./packet-keys.ts";

/** What sealing adds. */
export const SEAL_OVERHEAD = 16;
/**
 * rfc9001#5.4.2 the sample is taken as if the packet number had 4 bytes, hence packet number and sealed payload
 * together have at least so many bytes: a sender pads to that, a receiver discards what is shorter.
 */
export const MIN_PROTECTED = 4 + 16;
const SAMPLE_AT = 4;
const SAMPLE = 16;
/** Packets whose masks are made in one call. */
const BATCH = 64;

/** How much a key is used: rfc9001#6.6. Lower figures than the RFC's are permitted. */
export interface KeyUse {
  /** Packets sealed with one key: AES-GCM, and ChaCha20-Poly1305. */
  readonly confidentiality: readonly [number, number];
  /** Packets that fail to open, in one connection. */
  readonly integrity: readonly [number, number];
  /** 1-RTT packets sealed before our first key update, and between later ones. */
  readonly firstUpdate: number;
  readonly updateInterval: number;
}

export const KEY_USE: KeyUse = {
  confidentiality: [CONFIDENTIALITY_LIMIT_AES_GCM, CONFIDENTIALITY_LIMIT_CHACHA20],
  integrity: [INTEGRITY_LIMIT_AES_GCM, INTEGRITY_LIMIT_CHACHA20],
  firstUpdate: FIRST_KEY_UPDATE,
  updateInterval: KEY_UPDATE_INTERVAL,
};

interface LevelKeys {
  readAead: PacketAead | null;
  writeAead: PacketAead | null;
  readHp: HeaderProtector | null;
  writeHp: HeaderProtector | null;
  confidentialityLimit: number;
  /** Packets sealed; 1-RTT keys count per generation, in OneRttKeys. */
  sealed: number;
  discarded: boolean;
}

function noKeys(): LevelKeys {
  return {
    readAead: null,
    writeAead: null,
    readHp: null,
    writeHp: null,
    confidentialityLimit: CONFIDENTIALITY_LIMIT_AES_GCM,
    sealed: 0,
    discarded: false,
  };
}

// Scratch memory of all connections: nothing in it outlives a call, but for the places of sealed packets, which
// belong to the connection that transmits and is done before another one is.
const samplesOfBatch = new Uint8Array(SAMPLE * BATCH);
const masksOfBatch = new Uint8Array(SAMPLE * BATCH);
// One packet's: a whole array, so that the provider need not cut a piece.
const sampleOfOne = new Uint8Array(SAMPLE);
const maskOfOne = new Uint8Array(SAMPLE);
const pendingStart = new Int32Array(BATCH);
const pendingPnOffset = new Int32Array(BATCH);
const pendingPnLength = new Uint8Array(BATCH);

/** Keys and what is done with them. */
export class PacketProtection {
  readonly sealOverhead = SEAL_OVERHEAD;
  readonly #provider: CryptoProvider;
  readonly #role: Role;
  /** Key labels and Initial salts depend on it; compatible version negotiation changes it, rfc9369#4.1. */
  version: number;
  /** Of the client's first flight: 0-RTT stays with it. */
  readonly #original: number;
  /** What Initial keys come from. */
  #initialDcid: Uint8Array = NO_BYTES;
  /** The version of the Initial read keys in use, and those of another version that may come as well. */
  #initialVersion: number;
  #otherInitial: {
    readonly version: number;
    readonly aead: PacketAead | null;
    readonly hp: HeaderProtector | null;
  } | null = null;
  readonly #levels: readonly LevelKeys[] = [noKeys(), noKeys(), noKeys(), noKeys()];
  #oneRtt: OneRttKeys | null = null;
  readonly #use: KeyUse;
  #integrityLimit: number;
  /** That the 1-RTT keys are used up was said: what is left of them is for CONNECTION_CLOSE. */
  #usedUp = false;
  /** Packets that did not authenticate, over all keys: rfc9001#6.6. */
  openFailed = 0;

  /** Of the header read last. */
  pn = 0;
  pnLength = 0;
  receivedKeyPhase: 0 | 1 = 0;
  /** To be looked at once the packet is open, rfc9000#17.2. */
  reservedBitsSet = false;
  /** The packet opened last made a key update complete; the old read keys are to be dropped in 3 PTO. */
  peerUpdated = false;

  // Packets sealed and not masked yet: all of one level and in one buffer.
  #pendingCount = 0;
  #pendingLevel: Level = INITIAL;
  #pendingBuf: Uint8Array | null = null;

  constructor(provider: CryptoProvider, role: Role, version: number, use: KeyUse = KEY_USE) {
    this.#provider = provider;
    this.#role = role;
    this.#use = use;
    this.#integrityLimit = use.integrity[0];
    this.version = this.#original = this.#initialVersion = version;
  }

  /** Initial keys from the client's first DCID, or again from a Retry's SCID: rfc9001#5.2. */
  installInitial(version: number, dcid: Uint8Array): void {
    this.version = this.#initialVersion = version;
    this.#initialDcid = new Uint8Array(dcid);
    const { client, server } = initialSecrets(this.#provider, version, dcid);
    const [read, write] = this.#role === "client" ? [server, client] : [client, server];
    if (this.#pendingCount > 0) this.maskPending();
    this.#dispose(INITIAL);
    this.install(INITIAL, AES_128_GCM_SHA256, read, write);
    read.fill(0);
    write.fill(0);
  }

  /**
   * Initial packets of `version` are opened next: during compatible version negotiation there may be two, rfc9369#4.1.
   * The keys of both stay until all Initial keys are discarded.
   */
  readInitialsOf(version: number): void {
    const keys = this.#levels[INITIAL]!;
    if (version === this.#initialVersion || keys.readHp === null) return;
    const other = this.#otherInitial;
    this.#otherInitial = { version: this.#initialVersion, aead: keys.readAead, hp: keys.readHp };
    this.#initialVersion = version;
    if (other?.version === version) {
      keys.readAead = other.aead;
      keys.readHp = other.hp;
      return;
    }
    other?.aead?.dispose();
    other?.hp?.dispose();
    const secret = this.#initialSecret(version, this.#role === "client" ? "server" : "client");
    keys.readAead = deriveAead(this.#provider, AES_128_GCM_SHA256, version, secret);
    keys.readHp = deriveHeaderProtector(this.#provider, AES_128_GCM_SHA256, version, secret);
    secret.fill(0);
  }

  /** The Negotiated Version is known: Initials leave in it, and all later keys are its. rfc9369#4.1 */
  switchVersion(version: number): void {
    this.version = version;
    const keys = this.#levels[INITIAL]!;
    if (keys.writeHp === null) return;
    if (this.#pendingCount > 0) this.maskPending();
    keys.writeAead?.dispose();
    keys.writeHp.dispose();
    const secret = this.#initialSecret(version, this.#role);
    keys.writeAead = deriveAead(this.#provider, AES_128_GCM_SHA256, version, secret);
    keys.writeHp = deriveHeaderProtector(this.#provider, AES_128_GCM_SHA256, version, secret);
    keys.sealed = 0;
    secret.fill(0);
  }

  #initialSecret(version: number, sender: Role): Uint8Array {
    const { client, server } = initialSecrets(this.#provider, version, this.#initialDcid);
    const [wanted, unwanted] = sender === "client" ? [client, server] : [server, client];
    unwanted.fill(0);
    return wanted;
  }

  /** Keys of `level` from TLS's secrets, which are not kept. */
  install(level: Level, suite: CipherSuite, read: Uint8Array | null, write: Uint8Array | null): void {
    const keys = this.#levels[level]!;
    const provider = this.#provider;
    // rfc9369#4.1 The client MUST NOT send 0-RTT packets using the negotiated version.
    const version = level === ZERO_RTT ? this.#original : this.version;
    if (level === APPLICATION) {
      const oneRtt = (this.#oneRtt ??= new OneRttKeys(provider, suite, version, this.#role));
      if (read !== null) oneRtt.setRead(read);
      if (write !== null) oneRtt.setWrite(write);
    } else {
      if (read !== null) keys.readAead = deriveAead(provider, suite, version, read);
      if (write !== null) keys.writeAead = deriveAead(provider, suite, version, write);
    }
    if (read !== null) keys.readHp = deriveHeaderProtector(provider, suite, version, read);
    if (write !== null) keys.writeHp = deriveHeaderProtector(provider, suite, version, write);
    const chacha = suite.aead === "chacha20-poly1305";
    keys.confidentialityLimit = this.#use.confidentiality[chacha ? 1 : 0];
    // rfc9001#6.6 for the selected AEAD; Initial packets are AES-GCM whatever is selected later.
    if (level !== INITIAL) this.#integrityLimit = this.#use.integrity[chacha ? 1 : 0];
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
    if (level === INITIAL) this.#initialDcid = NO_BYTES;
  }

  #dispose(level: Level): void {
    const keys = this.#levels[level]!;
    keys.readAead?.dispose();
    keys.writeAead?.dispose();
    keys.readHp?.dispose();
    keys.writeHp?.dispose();
    keys.readAead = keys.writeAead = keys.readHp = keys.writeHp = null;
    keys.sealed = 0;
    if (level === INITIAL) {
      this.#otherInitial?.aead?.dispose();
      this.#otherInitial?.hp?.dispose();
      this.#otherInitial = null;
    }
    if (level === APPLICATION) {
      this.#oneRtt?.dispose();
      this.#oneRtt = null;
    }
  }

  disposeAll(): void {
    for (let level = 0; level < 4; level++) this.discard(level as Level);
  }

  // Receiving

  /**
   * Removes header protection in place and decodes the packet number: sets pn, pnLength, receivedKeyPhase,
   * reservedBitsSet. False where the packet is too short to hold a sample.
   */
  unprotectHeader(
    level: Level,
    buf: Uint8Array,
    start: number,
    pnOffset: number,
    end: number,
    largest: number,
  ): boolean {
    // rfc9001#5.4.2 An endpoint MUST discard packets that are not long enough to contain a complete sample.
    if (end - pnOffset < MIN_PROTECTED) return false;
    const sample = sampleOfOne;
    const at = pnOffset + SAMPLE_AT;
    for (let i = 0; i < SAMPLE; i++) sample[i] = buf[at + i]!;
    this.#levels[level]!.readHp!.masks(sample, 1, maskOfOne);
    unmask(level, buf, start, pnOffset, maskOfOne, 0);
    this.readPacketNumber(level, buf, start, pnOffset, largest);
    return true;
  }

  /**
   * Unmasks the headers of `n` packets of one level in place, with one call for their masks; a packet too short for a
   * sample gets −1 in `pnOffsets`. Then for each: `readPacketNumber`, `open`, in order, since the packet number that
   * is the largest so far decides how the next is decoded.
   */
  unprotectHeaders(
    level: Level,
    buf: Uint8Array,
    starts: Int32Array,
    pnOffsets: Int32Array,
    ends: Int32Array,
    n: number,
  ): void {
    const samples = samplesOfBatch;
    const masks = masksOfBatch;
    for (let from = 0; from < n; from += BATCH) {
      const to = Math.min(n, from + BATCH);
      let count = 0;
      for (let i = from; i < to; i++) {
        if (ends[i]! - pnOffsets[i]! < MIN_PROTECTED) {
          pnOffsets[i] = -1;
          continue;
        }
        const at = pnOffsets[i]! + SAMPLE_AT;
        const into = SAMPLE * count++;
        for (let k = 0; k < SAMPLE; k++) samples[into + k] = buf[at + k]!;
      }
      if (count === 0) continue;
      this.#levels[level]!.readHp!.masks(samples, count, masks);
      count = 0;
      for (let i = from; i < to; i++) {
        if (pnOffsets[i]! >= 0) unmask(level, buf, starts[i]!, pnOffsets[i]!, masks, SAMPLE * count++);
      }
    }
  }

  /** Reads an unmasked header: sets pn, pnLength, receivedKeyPhase, reservedBitsSet. */
  readPacketNumber(level: Level, buf: Uint8Array, start: number, pnOffset: number, largest: number): void {
    const first = buf[start]!;
    const length = (first & 0x03) + 1;
    let truncated = 0;
    for (let i = 0; i < length; i++) truncated = truncated * 256 + buf[pnOffset + i]!;
    this.pnLength = length;
    this.pn = decodePacketNumber(largest, truncated, 8 * length);
    this.receivedKeyPhase = (first & 0x04) === 0 ? 0 : 1;
    this.reservedBitsSet = (first & (level === APPLICATION ? 0x18 : 0x0c)) !== 0;
  }

  /**
   * Opens the packet whose header was read last, in place, once: the payload begins at pnOffset + pnLength.
   * @returns the payload's length, −1 where it does not authenticate.
   * @throws {TransportError} AEAD_LIMIT_REACHED, KEY_UPDATE_ERROR.
   */
  open(level: Level, buf: Uint8Array, start: number, pnOffset: number, end: number): number {
    // rfc9001#9.5 For authentication to be free from side channels, the entire process of header protection removal,
    // packet number recovery, and packet protection removal MUST be …
    const payload = pnOffset + this.pnLength;
    const length = end - payload;
    const headerLength = payload - start;
    let opened: boolean;
    this.peerUpdated = false;
    if (level === APPLICATION) {
      const phase = this.receivedKeyPhase;
      const outcome = this.#oneRtt!.open(buf, start, headerLength, payload, length, this.pn, phase);
      opened = outcome !== OPEN_FAILED;
      this.peerUpdated = outcome === OPENED_UPDATE;
    } else {
      opened = this.#levels[level]!.readAead!.open(buf, start, headerLength, payload, length, this.pn);
    }
    if (opened) return length - SEAL_OVERHEAD;
    // rfc9001#6.6 if the total number of received packets that fail authentication within the connection exceeds the
    // integrity limit, the endpoint MUST immediately close the connection with AEAD_LIMIT_REACHED.
    if (++this.openFailed > this.#integrityLimit) {
      throw new TransportError(AEAD_LIMIT_REACHED, "too many packets failed to authenticate");
    }
    return -1;
  }

  // Sending

  /** Key phase bit for the next 1-RTT packet. */
  get keyPhase(): 0 | 1 {
    return this.#oneRtt === null ? 0 : this.#oneRtt.writePhase;
  }

  /** Packets sealed with the current write key of `level`. */
  sealed(level: Level): number {
    if (level === APPLICATION) return this.#oneRtt?.sealed ?? 0;
    return this.#levels[level]!.sealed;
  }

  /**
   * Seals `buf[pnOffset + pnLength, payloadEnd)` in place, tag behind it, and returns the end of that. The header is
   * masked by `maskPending`; until then the bytes of the packet stay where they are.
   * @throws {TransportError} AEAD_LIMIT_REACHED.
   */
  seal(
    level: Level,
    buf: Uint8Array,
    start: number,
    pnOffset: number,
    pnLength: number,
    payloadEnd: number,
    pn: number,
  ): number {
    const end = payloadEnd + SEAL_OVERHEAD;
    // rfc9001#5.4.2 the sender must have padded: the sample would reach behind the packet.
    if (end - pnOffset < MIN_PROTECTED)
      throw new RangeError("packet too short for a header protection sample");
    if (
      this.#pendingCount > 0 &&
      (this.#pendingCount === BATCH || this.#pendingLevel !== level || this.#pendingBuf !== buf)
    ) {
      this.maskPending();
    }
    const payload = pnOffset + pnLength;
    this.#writeKey(level, pn).seal(buf, start, payload - start, payload, payloadEnd - payload, pn);
    const i = this.#pendingCount++;
    this.#pendingBuf = buf;
    this.#pendingLevel = level;
    pendingStart[i] = start;
    pendingPnOffset[i] = pnOffset;
    pendingPnLength[i] = pnLength;
    return end;
  }

  /**
   * The key for one more packet.
   * rfc9001#6.6 Endpoints MUST count the number of encrypted packets for each set of keys, and MUST stop using those
   * keys at the confidentiality limit: where no key update came in time, the connection ends.
   */
  #writeKey(level: Level, pn: number): PacketAead {
    const keys = this.#levels[level]!;
    const oneRtt = level === APPLICATION ? this.#oneRtt! : null;
    const { sealed } = oneRtt ?? keys;
    const limit = keys.confidentialityLimit;
    if (oneRtt === null) {
      if (sealed >= limit) throw new TransportError(AEAD_LIMIT_REACHED, "confidentiality limit reached");
      keys.sealed++;
      return keys.writeAead!;
    }
    // rfc9001#6.6 It is RECOMMENDED that endpoints immediately close the connection with AEAD_LIMIT_REACHED before
    // reaching a state where key updates are not possible: said once, and then the last packets are there to say it.
    if (sealed >= limit - RESERVED_SEALS && (!this.#usedUp || sealed >= limit)) {
      this.#usedUp = true;
      throw new TransportError(
        AEAD_LIMIT_REACHED,
        "confidentiality limit reached, the peer took no key update",
      );
    }
    oneRtt.sealed++;
    oneRtt.onSent(pn);
    return oneRtt.write!;
  }

  /** Applies header protection to everything sealed since the last call. */
  maskPending(): void {
    // rfc9001#9.5 For the sending of packets, construction and protection of packet payloads and packet numbers MUST
    // be free from side channels that would reveal the packet number …
    const n = this.#pendingCount;
    if (n === 0) return;
    this.#pendingCount = 0;
    const buf = this.#pendingBuf!;
    this.#pendingBuf = null;
    const level = this.#pendingLevel;
    const samples = n === 1 ? sampleOfOne : samplesOfBatch;
    const masks = n === 1 ? maskOfOne : masksOfBatch;
    for (let i = 0; i < n; i++) {
      const at = pendingPnOffset[i]! + SAMPLE_AT;
      for (let k = 0; k < SAMPLE; k++) samples[SAMPLE * i + k] = buf[at + k]!;
    }
    this.#levels[level]!.writeHp!.masks(samples, n, masks);
    for (let i = 0; i < n; i++) {
      const at = SAMPLE * i;
      const pnOffset = pendingPnOffset[i]!;
      const pnLength = pendingPnLength[i]!;
      buf[pendingStart[i]!]! ^= masks[at]! & protectedBits(level);
      for (let k = 0; k < pnLength; k++) buf[pnOffset + k]! ^= masks[at + 1 + k]!;
    }
  }

  // Key update

  /** Updates our send keys; false while rfc9001#6.1 does not permit it. The next header carries the new `keyPhase`. */
  initiateKeyUpdate(): boolean {
    return this.#oneRtt?.initiate() ?? false;
  }

  /**
   * Whether it is time for, and permitted to, `initiateKeyUpdate()`.
   * rfc9001#6.6 Endpoints MUST initiate a key update before sending more protected packets than the confidentiality
   * limit permits: the interval leaves a wide margin below it.
   */
  get updateDue(): boolean {
    const oneRtt = this.#oneRtt;
    if (oneRtt === null) return false;
    return (
      oneRtt.sealed >= (oneRtt.updates === 0 ? this.#use.firstUpdate : this.#use.updateInterval) &&
      oneRtt.mayInitiate
    );
  }

  /** Key updates that are complete. */
  get keyUpdates(): number {
    return this.#oneRtt?.updates ?? 0;
  }

  /** An ACK frame is in the 1-RTT packet sealed next. */
  onAckSent(): void {
    this.#oneRtt?.onAckSent();
  }

  /**
   * An ACK in the 1-RTT packet opened last covers `largest`.
   * @throws {TransportError} KEY_UPDATE_ERROR.
   */
  onAcked(largest: number): void {
    this.#oneRtt?.onAcked(largest);
  }

  /** Old read keys are there: a timer of 3 PTO from `peerUpdated` on should end in `dropOldReadKeys()`. */
  get hasOldReadKeys(): boolean {
    return this.#oneRtt !== null && this.#oneRtt.hasPrevious;
  }

  /** Drops them; our own next key update waits for that. */
  dropOldReadKeys(): void {
    this.#oneRtt?.dropPrevious();
  }
}

/** rfc9001#5.4.1 the four least significant bits of a long header's first byte are protected, five of a short one's. */
function protectedBits(level: Level): number {
  return level === APPLICATION ? 0x1f : 0x0f;
}

function unmask(
  level: Level,
  buf: Uint8Array,
  start: number,
  pnOffset: number,
  mask: Uint8Array,
  at: number,
): void {
  buf[start]! ^= mask[at]! & protectedBits(level);
  // The length is readable only now.
  const length = (buf[start]! & 0x03) + 1;
  for (let i = 0; i < length; i++) buf[pnOffset + i]! ^= mask[at + 1 + i]!;
}
