// Key agreement and signatures with node:crypto.

import * as crypto from "node:crypto";
import { InvalidOptionError } from "../protocol/errors.ts";
import { MAX_RSA_BITS, MAX_RSA_EXPONENT_BITS, MAX_SCALAR_DRAWS, MIN_RSA_BITS } from "../protocol/limits.ts";
import { ecScalar, encodePkcs8, readPrivateKey, readSpki, type PrivateKeyInfo } from "./der.ts";
import type { KeyShare, KeyType, SignatureName, SigningKey } from "./provider.ts";
import { allowsHash, schemesOf, SIGNATURE_PARAMETERS, type PssHash } from "./signatures.ts";

type Random = (out: Uint8Array) => void;

const CURVES = { secp256r1: "prime256v1", secp384r1: "secp384r1" } as const;
const SCALAR_LENGTH = { secp256r1: 32, secp384r1: 48 } as const;

/** node:crypto's types ask for a Buffer; no second copy of what may be a secret. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** What node:crypto returns, as what callers expect: slice() of a Buffer shares its memory. */
export function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** ECDH over a NIST curve: keys from the given randomness, points checked by OpenSSL. rfc8446#4.2.8.2 */
export class EcdhShare implements KeyShare {
  readonly group: "secp256r1" | "secp384r1";
  readonly publicKey: Uint8Array;
  #ecdh: crypto.ECDH | null;

  constructor(group: "secp256r1" | "secp384r1", random: Random) {
    this.group = group;
    this.#ecdh = crypto.createECDH(CURVES[group]);
    const secret = new Uint8Array(SCALAR_LENGTH[group]);
    for (let draws = 0; ; draws++) {
      if (draws === MAX_SCALAR_DRAWS) throw new RangeError("the random source gives no usable private key");
      random(secret);
      try {
        this.#ecdh.setPrivateKey(secret);
        break;
      } catch {
        // Zero or not below the group's order: draw again.
      }
    }
    secret.fill(0);
    this.publicKey = plain(this.#ecdh.getPublicKey());
  }

  agree(peer: Uint8Array): Uint8Array | null {
    // rfc8446#4.2.8.2 only the uncompressed form, of exact length.
    if (peer.length !== this.publicKey.length || peer[0] !== 4) return null;
    try {
      return plain(this.#ecdh!.computeSecret(peer));
    } catch {
      return null;
    }
  }

  dispose(): void {
    this.#ecdh = null;
  }
}

export class X25519Share implements KeyShare {
  readonly group = "x25519";
  readonly publicKey: Uint8Array;
  #key: crypto.KeyObject | null;

  constructor(random: Random) {
    const secret = new Uint8Array(32);
    random(secret);
    const der = encodePkcs8("x25519", secret);
    this.#key = crypto.createPrivateKey({ key: asBuffer(der), format: "der", type: "pkcs8" });
    secret.fill(0);
    der.fill(0);
    // JWK, for what is public: OpenSSL's encoders and decoders take longer than the curve.
    const { x } = crypto.createPublicKey(this.#key).export({ format: "jwk" });
    this.publicKey = Uint8Array.from(Buffer.from(x!, "base64url"));
  }

  agree(peer: Uint8Array): Uint8Array | null {
    if (peer.length !== 32) return null;
    try {
      const x = asBuffer(peer).toString("base64url");
      const publicKey = crypto.createPublicKey({ key: { kty: "OKP", crv: "X25519", x }, format: "jwk" });
      // rfc8446#7.4.2 MUST check whether the computed Diffie-Hellman shared secret is the all-zero value and abort if
      // so: OpenSSL refuses it, and if one did not, the next line does.
      const secret = crypto.diffieHellman({ privateKey: this.#key!, publicKey });
      return secret.every((byte) => byte === 0) ? null : plain(secret);
    } catch {
      return null;
    }
  }

  dispose(): void {
    this.#key = null;
  }
}

/** The options of node's sign() and verify() for one scheme. */
function keyOptions(scheme: SignatureName, key: crypto.KeyObject) {
  const { padding, saltLength } = SIGNATURE_PARAMETERS[scheme];
  if (padding === "pss") {
    return { key, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: saltLength! };
  }
  if (padding === "pkcs1") return { key, padding: crypto.constants.RSA_PKCS1_PADDING };
  return { key, dsaEncoding: "der" as const };
}

/** Both providers take the same RSA keys. */
function acceptableRsa(key: crypto.KeyObject): boolean {
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (modulusLength < MIN_RSA_BITS || modulusLength > MAX_RSA_BITS) return false;
  return publicExponent >= 3n && publicExponent < 1n << BigInt(MAX_RSA_EXPONENT_BITS);
}

class NodeSigningKey implements SigningKey {
  readonly type: KeyType;
  readonly schemes: readonly SignatureName[];
  readonly spki: Uint8Array;
  readonly #key: crypto.KeyObject;
  readonly #pssHash: PssHash;

  constructor(info: PrivateKeyInfo, key: crypto.KeyObject) {
    this.type = info.kind;
    this.#key = key;
    this.#pssHash = info.pssHash;
    this.schemes = schemesOf(info.kind, info.pssHash);
    this.spki = plain(crypto.createPublicKey(key).export({ format: "der", type: "spki" }));
  }

  sign(scheme: SignatureName, data: Uint8Array): Uint8Array {
    const { key: type, hash } = SIGNATURE_PARAMETERS[scheme];
    if (type !== this.type || !allowsHash(scheme, this.#pssHash)) {
      throw new RangeError(`a key of type ${this.type} cannot sign ${scheme}`);
    }
    return plain(crypto.sign(hash, data, keyOptions(scheme, this.#key)));
  }
}

const ECDH_NAMES = { "ec-p256": "prime256v1", "ec-p384": "secp384r1", "ec-p521": "secp521r1" } as const;

function importPrivateKey(info: PrivateKeyInfo, der: Uint8Array): crypto.KeyObject {
  const { kind } = info;
  if (kind === "rsa" || kind === "rsa-pss" || kind === "ed25519") {
    return crypto.createPrivateKey({ key: asBuffer(der), format: "der", type: info.format });
  }
  // OpenSSL takes zero and scalars beyond the order for a key, and whatever public key stands next to it. ECDH does
  // check, and computes the public key.
  const secret = ecScalar(kind, info.key);
  const ecdh = crypto.createECDH(ECDH_NAMES[kind]);
  ecdh.setPrivateKey(secret);
  const pkcs8 = encodePkcs8(kind, secret, ecdh.getPublicKey());
  const key = crypto.createPrivateKey({ key: asBuffer(pkcs8), format: "der", type: "pkcs8" });
  secret.fill(0);
  pkcs8.fill(0);
  return key;
}

export function nodeSigningKey(der: Uint8Array): SigningKey {
  try {
    const info = readPrivateKey(der);
    const key = importPrivateKey(info, der);
    const rsa = info.kind === "rsa" || info.kind === "rsa-pss";
    if (rsa && !acceptableRsa(key))
      throw new RangeError(`RSA keys have ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits`);
    return new NodeSigningKey(info, key);
  } catch (error) {
    throw new InvalidOptionError(
      "key",
      `not a private key TLS 1.3 can use: ${(error as Error).message}`,
      error,
    );
  }
}

export function nodeVerify(
  scheme: SignatureName,
  spki: Uint8Array,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  const { key: type, hash } = SIGNATURE_PARAMETERS[scheme];
  const info = readSpki(spki);
  if (info === null || info.kind !== type || !allowsHash(scheme, info.pssHash)) return false;
  try {
    const key = crypto.createPublicKey({ key: asBuffer(spki), format: "der", type: "spki" });
    if (type === "rsa" || type === "rsa-pss") {
      if (!acceptableRsa(key)) return false;
      // rfc8017#8.1.2 If the length of the signature S is not k octets, output "invalid signature" and stop: OpenSSL
      // takes PSS signatures without their leading zeros.
      if (signature.length !== Math.ceil(key.asymmetricKeyDetails!.modulusLength! / 8)) return false;
    }
    return crypto.verify(hash, data, keyOptions(scheme, key), signature);
  } catch {
    return false;
  }
}
