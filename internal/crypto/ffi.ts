// The provider for speed: libcrypto by FFI where that pays, node:crypto for the rest. It is used only after it has
// given the known answers.

import { concatBytes, fromHex, toHex } from "../protocol/bytes.ts";
import { loadLibCrypto, type LibCrypto } from "../ffi/libcrypto.ts";
import { FfiAesHeaderProtector, FfiChaChaHeaderProtector, FfiPacketAead } from "./ffi-aead.ts";
import { FfiVerifier, FfiX25519Share } from "./ffi-keys.ts";
import { FfiSha256 } from "./ffi-sha256.ts";
import { hybridRespond, hybridShare } from "./hybrid.ts";
import { NodeProvider, nodeProvider } from "./node.ts";
import { nodeMlKem } from "./node-ml-kem.ts";
import type {
  AeadName,
  CryptoProvider,
  GroupName,
  HashName,
  HeaderProtector,
  KeyShare,
  PacketAead,
  RunningHash,
  SignatureName,
} from "./provider.ts";

type Random = (out: Uint8Array) => void;

const DIGESTS: { readonly [name in HashName]: { name: string; length: number } } = {
  sha256: { name: "SHA2-256", length: 32 },
  sha384: { name: "SHA2-384", length: 48 },
  sha512: { name: "SHA2-512", length: 64 },
};
/** Inputs up to this go through scratch memory; longer ones are rare and node's. */
const MAX_SHORT = 4096;
const KEY = 0;
const DATA = 8192;
const OUT = 15_000;

/** Provider over libcrypto. */
export class FfiProvider extends NodeProvider {
  override readonly name: string = "openssl";
  readonly #lib: LibCrypto;
  readonly #sha256: FfiSha256 | null;
  readonly #verifier: FfiVerifier;
  #sparesOf: Random | null = null;
  #spare: FfiX25519Share | null = null;
  /** A share was used: another one will be. */
  wantsSpare = false;

  constructor(lib: LibCrypto) {
    super();
    this.#lib = lib;
    this.#sha256 = lib.sha256 === null ? null : new FfiSha256(lib);
    this.#verifier = new FfiVerifier(lib);
  }

  override hash(name: HashName, data: Uint8Array): Uint8Array {
    if (name !== "sha256" || this.#sha256 === null) return super.hash(name, data);
    const running = this.#sha256.running();
    running.update(data);
    return running.digest();
  }

  override runningHash(name: HashName): RunningHash {
    return name === "sha256" && this.#sha256 !== null ? this.#sha256.running() : super.runningHash(name);
  }

  override packetAead(name: AeadName, key: Uint8Array, iv: Uint8Array): PacketAead {
    return new FfiPacketAead(this.#lib, name, key, iv);
  }

  override headerProtector(name: AeadName, key: Uint8Array): HeaderProtector {
    return name === "chacha20-poly1305"
      ? new FfiChaChaHeaderProtector(this.#lib, key)
      : new FfiAesHeaderProtector(this.#lib, name, key);
  }

  override aeadSeal(
    name: AeadName,
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: Uint8Array,
  ): Uint8Array {
    const packet = concatBytes(aad, plaintext, new Uint8Array(16));
    const aead = new FfiPacketAead(this.#lib, name, key, nonce);
    // Packet number 0 leaves the nonce as it is.
    aead.seal(packet, 0, aad.length, aad.length, plaintext.length, 0);
    aead.dispose();
    return packet.subarray(aad.length);
  }

  override aeadOpen(
    name: AeadName,
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | null {
    if (sealed.length < 16) return null;
    const packet = concatBytes(aad, sealed);
    const aead = new FfiPacketAead(this.#lib, name, key, nonce);
    const opened = aead.open(packet, 0, aad.length, aad.length, sealed.length, 0);
    aead.dispose();
    if (!opened) packet.fill(0);
    return opened ? packet.subarray(aad.length, packet.length - 16) : null;
  }

  override hmac(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array {
    if (key.length > MAX_SHORT || data.length > MAX_SHORT) return super.hmac(name, key, data);
    const { scratch } = this.#lib;
    if (this.#isShort(name, key)) {
      scratch.set(data, FfiSha256.DATA);
      const mac = this.#sha256!.hmac(key, data.length);
      scratch.fill(0, FfiSha256.DATA, FfiSha256.DATA + data.length);
      return mac;
    }
    scratch.set(data, DATA);
    const out = this.#hmac(name, key, data.length, DIGESTS[name].length);
    scratch.fill(0, DATA, DATA + data.length);
    return out;
  }

  /** rfc5869#2.3; nearly all of TLS's expansions are one block. */
  override hkdfExpand(name: HashName, prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
    if (length > DIGESTS[name].length || info.length >= MAX_SHORT || prk.length > MAX_SHORT) {
      return super.hkdfExpand(name, prk, info, length);
    }
    const { scratch } = this.#lib;
    if (this.#isShort(name, prk)) {
      scratch.set(info, FfiSha256.DATA);
      scratch[FfiSha256.DATA + info.length] = 1;
      return this.#sha256!.hmac(prk, info.length + 1, length);
    }
    scratch.set(info, DATA);
    scratch[DATA + info.length] = 1;
    return this.#hmac(name, prk, info.length + 1, length);
  }

  /** Whether the fast SHA-256 does it. */
  #isShort(name: HashName, key: Uint8Array): boolean {
    return name === "sha256" && this.#sha256 !== null && key.length <= 64;
  }

  /** HMAC over the `length` bytes at DATA. */
  #hmac(name: HashName, key: Uint8Array, length: number, outLength: number): Uint8Array {
    const { call, scratch, scratchAddress, lengthAddress } = this.#lib;
    const { name: digest, length: full } = DIGESTS[name];
    scratch.set(key, KEY);
    const ok = call.hmac(
      this.#lib.digest(digest),
      scratchAddress + KEY,
      key.length,
      scratchAddress + DATA,
      length,
      scratchAddress + OUT,
      lengthAddress,
    );
    scratch.fill(0, KEY, KEY + key.length);
    if (ok === 0) throw new Error("libcrypto: HMAC failed");
    const out = scratch.slice(OUT, OUT + outLength);
    scratch.fill(0, OUT, OUT + full);
    return out;
  }

  override keyShare(group: GroupName, random: Random): KeyShare {
    if (group === "x25519") return this.#x25519(random);
    if (group === "X25519MLKEM768") return hybridShare(this.#x25519(random), nodeMlKem(), random);
    return super.keyShare(group, random);
  }

  /** The share that was made ahead, or one made now. */
  #x25519(random: Random): FfiX25519Share {
    if (random !== this.#sparesOf) return new FfiX25519Share(this.#lib, random);
    this.wantsSpare = true;
    const spare = this.#spare;
    this.#spare = null;
    return spare ?? new FfiX25519Share(this.#lib, random);
  }

  /** Shares from `random` may be made ahead: a handshake waits half as long for the key that it makes anew each time. */
  sparesFor(random: Random): void {
    this.#sparesOf = random;
  }

  /** Makes the next handshake's share now, if it can: nobody waits for it who could be told of an error. */
  makeSpare(): void {
    this.wantsSpare = false;
    if (this.#sparesOf === null || this.#spare !== null) return;
    try {
      this.#spare = new FfiX25519Share(this.#lib, this.#sparesOf);
    } catch {
      // The handshake that needs one tries again, and says what is wrong.
    }
  }

  /** No key lies about for long. */
  dropSpare(): void {
    this.#spare?.dispose();
    this.#spare = null;
  }

  override respond(
    group: GroupName,
    peerShare: Uint8Array,
    random: Random,
  ): { publicKey: Uint8Array; secret: Uint8Array } | null {
    if (group === "X25519MLKEM768") {
      return hybridRespond(this.#x25519(random), nodeMlKem(), peerShare, random);
    }
    return super.respond(group, peerShare, random);
  }

  override verify(scheme: SignatureName, spki: Uint8Array, data: Uint8Array, signature: Uint8Array): boolean {
    return (
      this.#verifier.verify(scheme, spki, data, signature) ?? super.verify(scheme, spki, data, signature)
    );
  }
}

// Known answers: NIST's first GCM vectors, rfc9001#A.5, rfc4231#4.3, rfc7748#5.2.
const AEAD_ANSWERS: readonly (readonly [
  AeadName,
  key: string,
  iv: string,
  pn: number,
  aad: string,
  plain: string,
  sealed: string,
])[] = [
  [
    "aes-128-gcm",
    "00".repeat(16),
    "00".repeat(12),
    0,
    "",
    "00".repeat(16),
    "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf",
  ],
  [
    "aes-256-gcm",
    "00".repeat(32),
    "00".repeat(12),
    0,
    "",
    "00".repeat(16),
    "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
  ],
  [
    "chacha20-poly1305",
    "c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8",
    "e0459b3474bdd0e44a41c144",
    654360564,
    "4200bff4",
    "01",
    "655e5cd55c41f69080575d7999c25a5bfb",
  ],
];
const MASK_ANSWERS: readonly (readonly [AeadName, key: string, sample: string, mask: string])[] = [
  ["aes-128-gcm", "9f50449e04a0e810283a1e9933adedd2", "d1b1c98dd7689fb8ec11d242b123dc9b", "437b9aec36"],
  [
    "chacha20-poly1305",
    "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4",
    "5e5cd55c41f69080575d7999c25a5bfb",
    "aefefe7d03",
  ],
];

/** Whether the library gives the known answers, and refuses what it should. */
export function passesSelfTest(provider: CryptoProvider): boolean {
  try {
    for (const [name, key, iv, pn, aad, plain, sealed] of AEAD_ANSWERS) {
      const header = fromHex(aad);
      const body = fromHex(plain);
      const at = header.length;
      const packet = new Uint8Array(at + body.length + 16);
      packet.set(header);
      packet.set(body, at);
      const aead = provider.packetAead(name, fromHex(key), fromHex(iv));
      aead.seal(packet, 0, at, at, body.length, pn);
      if (toHex(packet.subarray(at)) !== sealed) return false;
      const forged = packet.slice();
      forged[at]! ^= 1;
      if (aead.open(forged, 0, at, at, body.length + 16, pn)) return false;
      if (!aead.open(packet, 0, at, at, body.length + 16, pn)) return false;
      aead.dispose();
      if (toHex(packet.subarray(at, at + body.length)) !== plain) return false;
    }
    for (const [name, key, sample, mask] of MASK_ANSWERS) {
      const hp = provider.headerProtector(name, fromHex(key));
      const out = new Uint8Array(16);
      hp.masks(fromHex(sample), 1, out);
      hp.dispose();
      if (toHex(out.subarray(0, 5)) !== mask) return false;
    }
    const mac = provider.hmac("sha256", ascii("Jefe"), ascii("what do ya want for nothing?"));
    if (toHex(mac) !== "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843") return false;
    // FIPS 180-2, appendix B.1, in two pieces and with a look in between.
    const hash = provider.runningHash("sha256");
    hash.update(ascii("ab"));
    hash.digest();
    hash.update(ascii("c"));
    const digest = toHex(hash.clone().digest());
    if (digest !== "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") return false;
    const scalar = fromHex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
    const share = provider.keyShare("x25519", (out) => out.set(scalar));
    const secret = share.agree(fromHex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"));
    share.dispose();
    return (
      secret !== null && toHex(secret) === "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    );
  } catch {
    return false;
  }
}

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

let chosen: CryptoProvider | undefined;

/**
 * What is used unless something else is asked for: libcrypto by FFI where it is there and gives the known answers,
 * else node:crypto. `QUIC_TS_CRYPTO=node` asks for the latter.
 */
export function defaultProvider(): CryptoProvider {
  return (chosen ??= ffiProvider() ?? nodeProvider());
}

/** The provider over libcrypto, or null where it cannot be used. */
export function ffiProvider(): CryptoProvider | null {
  if (process.env["QUIC_TS_CRYPTO"] === "node") return null;
  const lib = loadLibCrypto();
  if (lib === null) return null;
  const provider = new FfiProvider(lib);
  return passesSelfTest(provider) ? provider : null;
}
