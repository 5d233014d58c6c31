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
    try {
      // Packet number 0 leaves the nonce as it is.
      aead.seal(packet, 0, aad.length, aad.length, plaintext.length, 0);
    } finally {
      aead.dispose();
    }
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
    let opened = false;
    try {
      opened = aead.open(packet, 0, aad.length, aad.length, sealed.length, 0);
    } finally {
      aead.dispose();
    }
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
    if (ok === 0) throw this.#lib.failure("HMAC");
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

// Known answers: NIST's first GCM vectors, rfc9001#A.5, FIPS 197 C.3, rfc4231#4.3, FIPS 180-2 B.1, rfc7748#6.1,
// rfc6979#A.2.5.
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
    "aes-256-gcm",
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    "00112233445566778899aabbccddeeff",
    "8ea2b7ca51",
  ],
  [
    "chacha20-poly1305",
    "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4",
    "5e5cd55c41f69080575d7999c25a5bfb",
    "aefefe7d03",
  ],
];
const MAC_ANSWERS: readonly (readonly [HashName, mac: string])[] = [
  ["sha256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"],
  [
    "sha384",
    "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
  ],
];
const HASH_ANSWERS: readonly (readonly [HashName, hash: string])[] = [
  ["sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
  [
    "sha384",
    "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
  ],
];
const X25519_ANSWER = {
  scalar: "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
  publicKey: "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
  peer: "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
  secret: "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
} as const;
const P256_ANSWER = {
  spki:
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004" +
    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6" +
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
  message: "sample",
  signature:
    "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716" +
    "022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
} as const;

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
    for (const [name, mac] of MAC_ANSWERS) {
      const data = ascii("what do ya want for nothing?");
      if (toHex(provider.hmac(name, ascii("Jefe"), data)) !== mac) return false;
    }
    for (const [name, digest] of HASH_ANSWERS) {
      // In two pieces and with a look in between.
      const hash = provider.runningHash(name);
      hash.update(ascii("ab"));
      hash.digest();
      hash.update(ascii("c"));
      if (toHex(hash.clone().digest()) !== digest) return false;
    }
    const share = provider.keyShare("x25519", (out) => out.set(fromHex(X25519_ANSWER.scalar)));
    if (toHex(share.publicKey) !== X25519_ANSWER.publicKey) return false;
    const secret = share.agree(fromHex(X25519_ANSWER.peer));
    share.dispose();
    if (secret === null || toHex(secret) !== X25519_ANSWER.secret) return false;
    const { spki, message, signature } = P256_ANSWER;
    const altered = fromHex(signature);
    altered[altered.length - 1]! ^= 1;
    const accepts = (bytes: Uint8Array): boolean =>
      provider.verify("ecdsa_secp256r1_sha256", fromHex(spki), ascii(message), bytes);
    return accepts(fromHex(signature)) && !accepts(altered);
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
