// The simulator's provider: everything it makes is a function of what it is given, and cheap. FOR SIMULATION ONLY: its
// signatures prove nothing, and with `nullAead` nothing is secret.

import { bytesEqual, utf8 } from "../protocol/bytes.ts";
import { NodeProvider } from "./node.ts";
import type {
  AeadName,
  CryptoProvider,
  GroupName,
  HeaderProtector,
  KeyType,
  PacketAead,
  SignatureName,
  SigningKey,
} from "./provider.ts";

export interface SimProviderOptions {
  /** Packets stay plaintext under a checksum that any changed byte breaks. Default false. */
  readonly nullAead?: boolean;
}

/**
 * 64 bits of checksum over words, in two lanes whose every step is a bijection of the state: a change within one word
 * always shows, others but for one in 2^64. Not a MAC: it protects from the simulated network, not from an attacker.
 */
class Checksum {
  #a = 0;
  #b = 0;
  // A view lasts as long as its buffer: one per slab, not one per packet.
  #view: DataView = new DataView(new ArrayBuffer(0));

  start(a: number, b: number): void {
    this.#a = a | 0;
    this.#b = b | 0;
  }

  word(word: number): void {
    this.#a = Math.imul(((this.#a << 5) | (this.#a >>> 27)) ^ word, 0x9e3779b1);
    this.#b = Math.imul(((this.#b << 13) | (this.#b >>> 19)) + word, 0x85ebca6b);
  }

  bytes(buf: Uint8Array, from: number, to: number): void {
    if (this.#view.buffer !== buf.buffer) this.#view = new DataView(buf.buffer);
    const view = this.#view;
    const end = buf.byteOffset + to;
    let at = buf.byteOffset + from;
    let a = this.#a;
    let b = this.#b;
    for (; at + 4 <= end; at += 4) {
      const word = view.getInt32(at, true);
      a = Math.imul(((a << 5) | (a >>> 27)) ^ word, 0x9e3779b1);
      b = Math.imul(((b << 13) | (b >>> 19)) + word, 0x85ebca6b);
    }
    this.#a = a;
    this.#b = b;
    // The rest, and the length: otherwise trailing zeros would not count.
    let rest = 0;
    for (; at < end; at++) rest = (rest << 8) | view.getUint8(at);
    this.word(rest);
    this.word(to - from);
  }

  /** 16 bytes: both lanes, and both again after more mixing. */
  write(out: Uint8Array, at: number): void {
    for (let i = 0; i < 4; i++) {
      const lane = i % 2 === 0 ? this.#a : this.#b;
      let x = Math.imul(lane ^ (lane >>> 16) ^ (i < 2 ? 0 : 0x5bd1e995), 0x7feb352d);
      x ^= x >>> 15;
      out[at + 4 * i] = x;
      out[at + 4 * i + 1] = x >>> 8;
      out[at + 4 * i + 2] = x >>> 16;
      out[at + 4 * i + 3] = x >>> 24;
    }
  }
}

/** A packet's payload in the clear, with a tag over header, payload, packet number and key. */
class NullAead implements PacketAead {
  readonly tagLength = 16;
  readonly #sum = new Checksum();
  readonly #tag = new Uint8Array(16);
  #a: number;
  #b: number;

  constructor(key: Uint8Array, iv: Uint8Array) {
    this.#sum.start(0x243f6a88, 0x85a308d3);
    this.#sum.bytes(key, 0, key.length);
    this.#sum.bytes(iv, 0, iv.length);
    this.#sum.write(this.#tag, 0);
    const view = new DataView(this.#tag.buffer);
    this.#a = view.getInt32(0, true);
    this.#b = view.getInt32(4, true);
  }

  #compute(
    buf: Uint8Array,
    header: number,
    headerLength: number,
    payload: number,
    end: number,
    pn: number,
  ): void {
    const sum = this.#sum;
    sum.start(this.#a, this.#b);
    sum.word(pn | 0);
    sum.word((pn - (pn >>> 0)) / 0x100000000);
    sum.bytes(buf, header, header + headerLength);
    sum.bytes(buf, payload, end);
  }

  seal(
    buf: Uint8Array,
    headerOffset: number,
    headerLength: number,
    payloadOffset: number,
    payloadLength: number,
    pn: number,
  ): void {
    const end = payloadOffset + payloadLength;
    this.#compute(buf, headerOffset, headerLength, payloadOffset, end, pn);
    this.#sum.write(buf, end);
  }

  open(
    buf: Uint8Array,
    headerOffset: number,
    headerLength: number,
    payloadOffset: number,
    payloadLength: number,
    pn: number,
  ): boolean {
    if (payloadLength < 16) return false;
    const end = payloadOffset + payloadLength - 16;
    this.#compute(buf, headerOffset, headerLength, payloadOffset, end, pn);
    const tag = this.#tag;
    this.#sum.write(tag, 0);
    for (let i = 0; i < 16; i++) if (tag[i] !== buf[end + i]) return false;
    return true;
  }

  dispose(): void {
    this.#a = this.#b = 0;
  }
}

/** No header protection. */
class NullHeaderProtector implements HeaderProtector {
  masks(_samples: Uint8Array, n: number, out: Uint8Array): void {
    out.fill(0, 0, 16 * n);
  }

  dispose(): void {}
}

/** What marks a simulated signature. */
const MARK = utf8("simulated signature ");

/** As long as real ones, so that datagrams have realistic sizes. */
const SIGNATURE_LENGTH: { readonly [type in KeyType]: number } = {
  "ec-p256": 71,
  "ec-p384": 103,
  "ec-p521": 139,
  rsa: 256,
  "rsa-pss": 256,
  ed25519: 64,
};

/** A checksum over public key, scheme and data: deterministic and fast. Anyone can make it. */
function simSignature(length: number, scheme: SignatureName, spki: Uint8Array, data: Uint8Array): Uint8Array {
  const sum = new Checksum();
  sum.start(0x13198a2e, 0x03707344);
  const name = utf8(scheme);
  sum.bytes(name, 0, name.length);
  sum.bytes(spki, 0, spki.length);
  sum.bytes(data, 0, data.length);
  const out = new Uint8Array(length);
  out.set(MARK);
  sum.write(out, MARK.length);
  return out;
}

class SimSigningKey implements SigningKey {
  readonly type: KeyType;
  readonly schemes: readonly SignatureName[];
  readonly spki: Uint8Array;

  constructor(real: SigningKey) {
    this.type = real.type;
    this.schemes = real.schemes;
    this.spki = real.spki;
  }

  sign(scheme: SignatureName, data: Uint8Array): Uint8Array {
    return simSignature(SIGNATURE_LENGTH[this.type], scheme, this.spki, data);
  }
}

class SimProvider extends NodeProvider {
  override readonly name = "sim";
  /** The cheap one first: a simulation makes thousands of handshakes. */
  override readonly groups: readonly GroupName[] = ["x25519", "X25519MLKEM768", "secp256r1", "secp384r1"];
  readonly #nullAead: boolean;

  constructor(nullAead: boolean) {
    super();
    this.#nullAead = nullAead;
  }

  override packetAead(name: AeadName, key: Uint8Array, iv: Uint8Array): PacketAead {
    return this.#nullAead ? new NullAead(key, iv) : super.packetAead(name, key, iv);
  }

  override headerProtector(name: AeadName, key: Uint8Array): HeaderProtector {
    return this.#nullAead ? new NullHeaderProtector() : super.headerProtector(name, key);
  }

  override signingKey(der: Uint8Array): SigningKey {
    return new SimSigningKey(super.signingKey(der));
  }

  /** Takes simulated signatures and real ones, which certificates made beforehand carry. */
  override verify(scheme: SignatureName, spki: Uint8Array, data: Uint8Array, signature: Uint8Array): boolean {
    if (signature.length < MARK.length + 16 || !bytesEqual(signature.subarray(0, MARK.length), MARK)) {
      return super.verify(scheme, spki, data, signature);
    }
    return bytesEqual(signature, simSignature(signature.length, scheme, spki, data));
  }
}

/** The provider for simulations. */
export function simProvider(options: SimProviderOptions = {}): CryptoProvider {
  return new SimProvider(options.nullAead === true);
}
