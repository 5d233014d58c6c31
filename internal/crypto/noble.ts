// The provider in JavaScript alone: @noble/*, and RSA of our own.

import { p256, p384, p521 } from "@noble/curves/nist.js";
import { ed25519, x25519 } from "@noble/curves/ed25519.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { InvalidOptionError } from "../protocol/errors.ts";
import { MAX_SCALAR_DRAWS } from "../protocol/limits.ts";
import { ecScalar, encodeRsaSpki, encodeSpki, readPrivateKey, readSpki, type PrivateKeyInfo } from "./der.ts";
import { hybridRespond, hybridShare } from "./hybrid.ts";
import {
  NobleAesHeaderProtector,
  NobleChaChaHeaderProtector,
  nobleCipher,
  NoblePacketAead,
} from "./noble-aead.ts";
import { nobleExpand, nobleExtract, nobleHash, nobleHmac, nobleRunningHash } from "./noble-hash.ts";
import type {
  AeadName,
  CryptoProvider,
  GroupName,
  HashName,
  KeyShare,
  KeyType,
  SignatureName,
  SigningKey,
} from "./provider.ts";
import { readRsaPrivateKey, readRsaPublicKey, signPkcs1, signPss, verifyPkcs1, verifyPss } from "./rsa.ts";
import { allowsHash, schemesOf, SIGNATURE_PARAMETERS } from "./signatures.ts";

type Random = (out: Uint8Array) => void;

const ECDH_CURVES = { secp256r1: p256, secp384r1: p384 } as const;
const ECDSA_CURVES = { "ec-p256": p256, "ec-p384": p384, "ec-p521": p521 } as const;
/** DER signatures as they are on the wire; both halves of the order are valid, rfc8446#4.2.3. */
const ECDSA_OPTIONS = { format: "der", lowS: false, prehash: true } as const;

class NobleEcdhShare implements KeyShare {
  readonly group: "secp256r1" | "secp384r1";
  readonly publicKey: Uint8Array;
  readonly #secret: Uint8Array;

  constructor(group: "secp256r1" | "secp384r1", random: Random) {
    const curve = ECDH_CURVES[group];
    this.group = group;
    this.#secret = new Uint8Array(curve.lengths.secretKey!);
    let draws = 0;
    do {
      if (++draws > MAX_SCALAR_DRAWS) throw new RangeError("the random source gives no usable private key");
      random(this.#secret);
    } while (!curve.utils.isValidSecretKey(this.#secret));
    this.publicKey = curve.getPublicKey(this.#secret, false);
  }

  agree(peer: Uint8Array): Uint8Array | null {
    // rfc8446#4.2.8.2 only the uncompressed form, of exact length.
    if (peer.length !== this.publicKey.length || peer[0] !== 4) return null;
    try {
      const point = ECDH_CURVES[this.group].getSharedSecret(this.#secret, peer, false);
      // rfc8446#7.4.2 the X coordinate, with its leading zeros.
      return point.slice(1, 1 + this.#secret.length);
    } catch {
      return null;
    }
  }

  dispose(): void {
    this.#secret.fill(0);
  }
}

class NobleX25519Share implements KeyShare {
  readonly group = "x25519";
  readonly publicKey: Uint8Array;
  readonly #secret = new Uint8Array(32);

  constructor(random: Random) {
    random(this.#secret);
    this.publicKey = x25519.getPublicKey(this.#secret);
  }

  agree(peer: Uint8Array): Uint8Array | null {
    if (peer.length !== 32) return null;
    try {
      // noble refuses an all-zero result: rfc7748#6.1, rfc8446#7.4.2 MUST abort.
      return x25519.getSharedSecret(this.#secret, peer);
    } catch {
      return null;
    }
  }

  dispose(): void {
    this.#secret.fill(0);
  }
}

/** What of a key depends on its kind. */
interface Signer {
  readonly spki: Uint8Array;
  sign(scheme: SignatureName, data: Uint8Array): Uint8Array;
}

function ecdsaSigner(kind: "ec-p256" | "ec-p384" | "ec-p521", scalar: Uint8Array): Signer {
  const curve = ECDSA_CURVES[kind];
  const secret = ecScalar(kind, scalar);
  if (!curve.utils.isValidSecretKey(secret)) throw new RangeError("the EC private key is out of range");
  return {
    spki: encodeSpki(kind, curve.getPublicKey(secret, false)),
    sign: (_scheme, data) => curve.sign(data, secret, ECDSA_OPTIONS),
  };
}

function rsaSigner(info: PrivateKeyInfo): Signer {
  const key = readRsaPrivateKey(info.key);
  return {
    spki: encodeRsaSpki(key.n, key.e, info.kind === "rsa-pss" ? info.algorithm : null),
    sign(scheme, data) {
      const { hash, padding } = SIGNATURE_PARAMETERS[scheme];
      return padding === "pss" ? signPss(key, hash!, data) : signPkcs1(key, hash!, data);
    },
  };
}

function ed25519Signer(seed: Uint8Array): Signer {
  if (seed.length !== 32) throw new RangeError("Ed25519 private key");
  const secret = new Uint8Array(seed);
  return {
    spki: encodeSpki("ed25519", ed25519.getPublicKey(secret)),
    sign: (_scheme, data) => ed25519.sign(data, secret),
  };
}

function signerOf(info: PrivateKeyInfo): Signer {
  if (info.kind === "ed25519") return ed25519Signer(info.key);
  if (info.kind === "rsa" || info.kind === "rsa-pss") return rsaSigner(info);
  return ecdsaSigner(info.kind, info.key);
}

class NobleSigningKey implements SigningKey {
  readonly type: KeyType;
  readonly schemes: readonly SignatureName[];
  readonly spki: Uint8Array;
  readonly #signer: Signer;
  readonly #pssHash: PrivateKeyInfo["pssHash"];

  constructor(info: PrivateKeyInfo) {
    this.type = info.kind;
    this.schemes = schemesOf(info.kind, info.pssHash);
    this.#pssHash = info.pssHash;
    this.#signer = signerOf(info);
    this.spki = this.#signer.spki;
  }

  sign(scheme: SignatureName, data: Uint8Array): Uint8Array {
    if (SIGNATURE_PARAMETERS[scheme].key !== this.type || !allowsHash(scheme, this.#pssHash)) {
      throw new RangeError(`a key of type ${this.type} cannot sign ${scheme}`);
    }
    return this.#signer.sign(scheme, data);
  }
}

class NobleProvider implements CryptoProvider {
  readonly name = "noble";
  readonly aeads: readonly AeadName[] = ["chacha20-poly1305", "aes-128-gcm", "aes-256-gcm"];
  readonly groups: readonly GroupName[] = ["X25519MLKEM768", "x25519", "secp256r1", "secp384r1"];
  readonly signatures: readonly SignatureName[] = Object.keys(SIGNATURE_PARAMETERS) as SignatureName[];

  packetAead(name: AeadName, key: Uint8Array, iv: Uint8Array) {
    return new NoblePacketAead(name, key, iv);
  }

  headerProtector(name: AeadName, key: Uint8Array) {
    return name === "chacha20-poly1305"
      ? new NobleChaChaHeaderProtector(key)
      : new NobleAesHeaderProtector(key);
  }

  aeadSeal(
    name: AeadName,
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: Uint8Array,
  ): Uint8Array {
    return nobleCipher(name, key, nonce, aad).encrypt(plaintext);
  }

  aeadOpen(
    name: AeadName,
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | null {
    if (sealed.length < 16) return null;
    const cipher = nobleCipher(name, key, nonce, aad);
    try {
      return cipher.decrypt(sealed);
    } catch {
      return null;
    }
  }

  hash(name: HashName, data: Uint8Array): Uint8Array {
    return nobleHash(name, data);
  }

  runningHash(name: HashName) {
    return nobleRunningHash(name);
  }

  hmac(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array {
    return nobleHmac(name, key, data);
  }

  hkdfExtract(name: HashName, salt: Uint8Array, ikm: Uint8Array): Uint8Array {
    return nobleExtract(name, salt, ikm);
  }

  hkdfExpand(name: HashName, prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
    return nobleExpand(name, prk, info, length);
  }

  keyShare(group: GroupName, random: Random): KeyShare {
    if (group === "x25519") return new NobleX25519Share(random);
    if (group === "X25519MLKEM768") return hybridShare(new NobleX25519Share(random), ml_kem768, random);
    return new NobleEcdhShare(group, random);
  }

  respond(group: GroupName, peerShare: Uint8Array, random: Random) {
    if (group === "X25519MLKEM768") {
      return hybridRespond(new NobleX25519Share(random), ml_kem768, peerShare, random);
    }
    const share = this.keyShare(group, random);
    const secret = share.agree(peerShare);
    share.dispose();
    return secret === null ? null : { publicKey: share.publicKey, secret };
  }

  signingKey(der: Uint8Array): SigningKey {
    try {
      return new NobleSigningKey(readPrivateKey(der));
    } catch (error) {
      throw new InvalidOptionError(
        "key",
        `not a private key TLS 1.3 can use: ${(error as Error).message}`,
        error,
      );
    }
  }

  verify(scheme: SignatureName, spki: Uint8Array, data: Uint8Array, signature: Uint8Array): boolean {
    const { key: type, hash, padding } = SIGNATURE_PARAMETERS[scheme];
    const info = readSpki(spki);
    if (info === null || info.kind !== type || !allowsHash(scheme, info.pssHash)) return false;
    try {
      if (type === "rsa" || type === "rsa-pss") {
        const key = readRsaPublicKey(info.key);
        if (key === null) return false;
        return padding === "pss"
          ? verifyPss(key, hash!, data, signature)
          : verifyPkcs1(key, hash!, data, signature);
      }
      // rfc8032#5.1.7, not the laxer zip215.
      if (type === "ed25519") return ed25519.verify(signature, data, info.key, { zip215: false });
      return ECDSA_CURVES[type].verify(signature, data, info.key, ECDSA_OPTIONS);
    } catch {
      return false;
    }
  }
}

/** The provider over @noble/*. */
export function nobleProvider(): CryptoProvider {
  return new NobleProvider();
}
