// The primitives that everything above is written against. Two real providers (node.ts, noble.ts) and one for the
// simulator (sim.ts) implement it; none of them draws randomness of its own for keys: bytes come in.

export type AeadName = "aes-128-gcm" | "aes-256-gcm" | "chacha20-poly1305";
export type HashName = "sha256" | "sha384" | "sha512";
/** TLS NamedGroup values, rfc8446#4.2.7 and tls-ecdhe-mlkem. */
export const GROUP = {
  secp256r1: 0x0017,
  secp384r1: 0x0018,
  x25519: 0x001d,
  X25519MLKEM768: 0x11ec,
} as const;
export type GroupName = keyof typeof GROUP;

/** TLS SignatureScheme values, rfc8446#4.2.3: those we sign with and verify, and those that only certificates may use. */
export const SIGNATURE = {
  ecdsa_secp256r1_sha256: 0x0403,
  ecdsa_secp384r1_sha384: 0x0503,
  ecdsa_secp521r1_sha512: 0x0603,
  rsa_pss_rsae_sha256: 0x0804,
  rsa_pss_rsae_sha384: 0x0805,
  rsa_pss_rsae_sha512: 0x0806,
  ed25519: 0x0807,
  rsa_pss_pss_sha256: 0x0809,
  rsa_pss_pss_sha384: 0x080a,
  rsa_pss_pss_sha512: 0x080b,
  rsa_pkcs1_sha256: 0x0401,
  rsa_pkcs1_sha384: 0x0501,
  rsa_pkcs1_sha512: 0x0601,
} as const;
export type SignatureName = keyof typeof SIGNATURE;

/**
 * Seals and opens packets in place (rfc9001#5.3). One object per key; it owns its IV and makes the nonce from `pn`.
 */
export interface PacketAead {
  readonly tagLength: 16;
  /**
   * Encrypts `buf[payloadOffset, +payloadLength)` in place and writes the 16-byte tag right behind it.
   * The header `buf[headerOffset, +headerLength)` is the associated data.
   */
  seal(
    buf: Uint8Array,
    headerOffset: number,
    headerLength: number,
    payloadOffset: number,
    payloadLength: number,
    pn: number,
  ): void;
  /**
   * Decrypts in place; `payloadLength` includes the tag. False where it does not authenticate, and then the ciphertext
   * is destroyed: there is one attempt per packet. The tag stays: it may be the token of a stateless reset.
   */
  open(
    buf: Uint8Array,
    headerOffset: number,
    headerLength: number,
    payloadOffset: number,
    payloadLength: number,
    pn: number,
  ): boolean;
  /** Zeroes what is ours and frees what is native. Idempotent. */
  dispose(): void;
}

/** Header protection masks, in batches (rfc9001#5.4). */
export interface HeaderProtector {
  /**
   * For `n` samples of 16 bytes each at `samples[0, 16n)` writes `n` masks to `out`, mask i at `out[16·i, +5)`.
   * `out` has room for 16·n bytes; the other 11 bytes of each are undefined. `out` may be `samples`.
   */
  masks(samples: Uint8Array, n: number, out: Uint8Array): void;
  dispose(): void;
}

/** A running hash whose value can be taken without ending it (the TLS transcript). */
export interface RunningHash {
  update(bytes: Uint8Array): void;
  /** The hash of all so far; the object goes on. */
  digest(): Uint8Array;
  clone(): RunningHash;
}

/** One side's ephemeral key. */
export interface KeyShare {
  readonly group: GroupName;
  /** What goes on the wire. */
  readonly publicKey: Uint8Array;
  /**
   * The shared secret from the peer's share, or null where that share is invalid (wrong length, point not on the curve,
   * all-zero result: rfc8446#7.4.2, rfc7748#6.1). Only for the side that made its share first (the client).
   */
  agree(peerShare: Uint8Array): Uint8Array | null;
  dispose(): void;
}

export interface SigningKey {
  /** "ec-p256", "ec-p384", "ec-p521", "rsa", "rsa-pss", "ed25519". */
  readonly type: KeyType;
  /** The TLS 1.3 CertificateVerify schemes this key can sign, in the order we prefer. */
  readonly schemes: readonly SignatureName[];
  sign(scheme: SignatureName, data: Uint8Array): Uint8Array;
  /** SubjectPublicKeyInfo, DER. To check that key and certificate belong together. */
  readonly spki: Uint8Array;
}
export type KeyType = "ec-p256" | "ec-p384" | "ec-p521" | "rsa" | "rsa-pss" | "ed25519";

export interface CryptoProvider {
  readonly name: string;
  /** Suites, groups and signatures it can do, best first. */
  readonly aeads: readonly AeadName[];
  readonly groups: readonly GroupName[];
  readonly signatures: readonly SignatureName[];

  packetAead(name: AeadName, key: Uint8Array, iv: Uint8Array): PacketAead;
  headerProtector(name: AeadName, key: Uint8Array): HeaderProtector;
  /** One-shot AEAD for what is not a packet: Retry tags, tokens, tickets. Returns ciphertext ‖ tag. */
  aeadSeal(
    name: AeadName,
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: Uint8Array,
  ): Uint8Array;
  /** null where it does not authenticate. */
  aeadOpen(
    name: AeadName,
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | null;

  hash(name: HashName, data: Uint8Array): Uint8Array;
  runningHash(name: HashName): RunningHash;
  hmac(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array;
  hkdfExtract(name: HashName, salt: Uint8Array, ikm: Uint8Array): Uint8Array;
  hkdfExpand(name: HashName, prk: Uint8Array, info: Uint8Array, length: number): Uint8Array;

  /** A fresh key for `group`; `random` is asked for the bytes. */
  keyShare(group: GroupName, random: (out: Uint8Array) => void): KeyShare;
  /** The answering side (server): its share and the secret at once (a KEM has no other order). null: peer share invalid. */
  respond(
    group: GroupName,
    peerShare: Uint8Array,
    random: (out: Uint8Array) => void,
  ): { publicKey: Uint8Array; secret: Uint8Array } | null;

  /** PKCS#8, SEC1 or PKCS#1 DER, unencrypted. Throws InvalidOptionError with what is wrong. */
  signingKey(der: Uint8Array): SigningKey;
  /** Whether `signature` is `spki`'s over `data`. False for a key that does not fit the scheme, never an exception. */
  verify(scheme: SignatureName, spki: Uint8Array, data: Uint8Array, signature: Uint8Array): boolean;
}
