// The default provider: OpenSSL through node:crypto. ML-KEM comes from noble where this Node has none.

import * as crypto from "node:crypto";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { concatBytes } from "../protocol/bytes.ts";
import { InvalidOptionError } from "../protocol/errors.ts";
import { encodePkcs8, encodeSpki, readPrivateKey, readSpki } from "./der.ts";
import { hybridRespond, hybridShare } from "./hybrid.ts";
import { NodeAesHeaderProtector, NodeChaChaHeaderProtector, NodePacketAead } from "./node-aead.ts";
import type {
  AeadName,
  CryptoProvider,
  GroupName,
  HashName,
  KeyShare,
  KeyType,
  RunningHash,
  SignatureName,
  SigningKey,
} from "./provider.ts";
import { schemesOf, SIGNATURE_PARAMETERS } from "./signatures.ts";

type Random = (out: Uint8Array) => void;

const CURVES = { secp256r1: "prime256v1", secp384r1: "secp384r1" } as const;
const SCALAR_LENGTH = { secp256r1: 32, secp384r1: 48 } as const;

class NodeRunningHash implements RunningHash {
  readonly #hash: crypto.Hash;

  constructor(hash: crypto.Hash) {
    this.#hash = hash;
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  digest(): Uint8Array {
    return this.#hash.copy().digest();
  }

  clone(): RunningHash {
    return new NodeRunningHash(this.#hash.copy());
  }
}

/** ECDH over a NIST curve: keys from the given randomness, points checked by OpenSSL. rfc8446#4.2.8.2 */
class EcdhShare implements KeyShare {
  readonly group: "secp256r1" | "secp384r1";
  readonly publicKey: Uint8Array;
  #ecdh: crypto.ECDH | null;

  constructor(group: "secp256r1" | "secp384r1", random: Random) {
    this.group = group;
    this.#ecdh = crypto.createECDH(CURVES[group]);
    const secret = new Uint8Array(SCALAR_LENGTH[group]);
    for (;;) {
      random(secret);
      try {
        this.#ecdh.setPrivateKey(secret);
        break;
      } catch {
        // Zero or not below the group's order: draw again.
      }
    }
    secret.fill(0);
    this.publicKey = this.#ecdh.getPublicKey();
  }

  agree(peer: Uint8Array): Uint8Array | null {
    // rfc8446#4.2.8.2 only the uncompressed form, of exact length.
    if (peer.length !== this.publicKey.length || peer[0] !== 4) return null;
    try {
      return this.#ecdh!.computeSecret(peer);
    } catch {
      return null;
    }
  }

  dispose(): void {
    this.#ecdh = null;
  }
}

class X25519Share implements KeyShare {
  readonly group = "x25519";
  readonly publicKey: Uint8Array;
  #key: crypto.KeyObject | null;

  constructor(random: Random) {
    const secret = new Uint8Array(32);
    random(secret);
    const der = encodePkcs8("x25519", secret);
    this.#key = crypto.createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8" });
    secret.fill(0);
    der.fill(0);
    const spki = crypto.createPublicKey(this.#key).export({ format: "der", type: "spki" });
    this.publicKey = spki.subarray(spki.length - 32);
  }

  agree(peer: Uint8Array): Uint8Array | null {
    if (peer.length !== 32) return null;
    try {
      const publicKey = crypto.createPublicKey({
        key: Buffer.from(encodeSpki("x25519", peer)),
        format: "der",
        type: "spki",
      });
      // OpenSSL refuses an all-zero result: rfc7748#6.1, rfc8446#7.4.2 MUST abort.
      const secret = crypto.diffieHellman({ privateKey: this.#key!, publicKey });
      return secret.every((byte) => byte === 0) ? null : secret;
    } catch {
      return null;
    }
  }

  dispose(): void {
    this.#key = null;
  }
}

class NodeSigningKey implements SigningKey {
  readonly type: KeyType;
  readonly schemes: readonly SignatureName[];
  readonly spki: Uint8Array;
  readonly #key: crypto.KeyObject;

  constructor(type: KeyType, key: crypto.KeyObject) {
    this.type = type;
    this.#key = key;
    this.spki = crypto.createPublicKey(key).export({ format: "der", type: "spki" });
    this.schemes = schemesOf(type);
  }

  sign(scheme: SignatureName, data: Uint8Array): Uint8Array {
    const parameters = SIGNATURE_PARAMETERS[scheme];
    return crypto.sign(parameters.hash, data, signOptions(scheme, this.#key));
  }
}

function signOptions(scheme: SignatureName, key: crypto.KeyObject): crypto.SignKeyObjectInput {
  const { padding, saltLength } = SIGNATURE_PARAMETERS[scheme];
  if (padding === "pss")
    return { key, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: saltLength! };
  if (padding === "pkcs1") return { key, padding: crypto.constants.RSA_PKCS1_PADDING };
  return { key, dsaEncoding: "der" };
}

/** Provider over node:crypto. */
class NodeProvider implements CryptoProvider {
  readonly name: string = "node";
  readonly aeads: readonly AeadName[] = ["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"];
  readonly groups: readonly GroupName[] = ["X25519MLKEM768", "x25519", "secp256r1", "secp384r1"];
  readonly signatures: readonly SignatureName[] = Object.keys(SIGNATURE_PARAMETERS) as SignatureName[];

  packetAead(name: AeadName, key: Uint8Array, iv: Uint8Array) {
    return new NodePacketAead(name, key, iv);
  }

  headerProtector(name: AeadName, key: Uint8Array) {
    return name === "chacha20-poly1305"
      ? new NodeChaChaHeaderProtector(key)
      : new NodeAesHeaderProtector(name, key);
  }

  aeadSeal(
    name: AeadName,
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: Uint8Array,
  ): Uint8Array {
    const cipher = crypto.createCipheriv(name as crypto.CipherGCMTypes, key, nonce, { authTagLength: 16 });
    cipher.setAAD(aad);
    const body = cipher.update(plaintext);
    cipher.final();
    return concatBytes(body, cipher.getAuthTag());
  }

  aeadOpen(
    name: AeadName,
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | null {
    if (sealed.length < 16) return null;
    const decipher = crypto.createDecipheriv(name as crypto.CipherGCMTypes, key, nonce, {
      authTagLength: 16,
    });
    decipher.setAAD(aad);
    decipher.setAuthTag(sealed.subarray(sealed.length - 16));
    const plain = decipher.update(sealed.subarray(0, sealed.length - 16));
    try {
      decipher.final();
    } catch {
      return null;
    }
    return plain;
  }

  hash(name: HashName, data: Uint8Array): Uint8Array {
    return crypto.createHash(name).update(data).digest();
  }

  runningHash(name: HashName): RunningHash {
    return new NodeRunningHash(crypto.createHash(name));
  }

  hmac(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array {
    return crypto.createHmac(name, key).update(data).digest();
  }

  hkdfExtract(name: HashName, salt: Uint8Array, ikm: Uint8Array): Uint8Array {
    return this.hmac(name, salt, ikm);
  }

  /** rfc5869#2.3; node's hkdfSync always extracts first, so the expansion is written out. */
  hkdfExpand(name: HashName, prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
    const out = new Uint8Array(length);
    let block: Uint8Array = new Uint8Array(0);
    for (let at = 0, i = 1; at < length; at += block.length, i++) {
      block = crypto.createHmac(name, prk).update(block).update(info).update(Uint8Array.of(i)).digest();
      out.set(block.subarray(0, Math.min(block.length, length - at)), at);
    }
    return out;
  }

  keyShare(group: GroupName, random: Random): KeyShare {
    if (group === "x25519") return new X25519Share(random);
    if (group === "X25519MLKEM768") return hybridShare(new X25519Share(random), ml_kem768, random);
    return new EcdhShare(group, random);
  }

  respond(group: GroupName, peerShare: Uint8Array, random: Random) {
    if (group === "X25519MLKEM768")
      return hybridRespond(new X25519Share(random), ml_kem768, peerShare, random);
    const share = this.keyShare(group, random);
    const secret = share.agree(peerShare);
    share.dispose();
    return secret === null ? null : { publicKey: share.publicKey, secret };
  }

  signingKey(der: Uint8Array): SigningKey {
    let kind: KeyType;
    try {
      kind = readPrivateKey(der).kind;
    } catch (error) {
      throw new InvalidOptionError(
        "key",
        "not an unencrypted PKCS#8, SEC1 or PKCS#1 private key of a kind TLS 1.3 can use (RSA, P-256, P-384, P-521, Ed25519)",
        error,
      );
    }
    for (const type of ["pkcs8", "sec1", "pkcs1"] as const) {
      try {
        return new NodeSigningKey(
          kind,
          crypto.createPrivateKey({ key: Buffer.from(der), format: "der", type }),
        );
      } catch {
        // The next encoding.
      }
    }
    throw new InvalidOptionError("key", "the private key is damaged");
  }

  verify(scheme: SignatureName, spki: Uint8Array, data: Uint8Array, signature: Uint8Array): boolean {
    const parameters = SIGNATURE_PARAMETERS[scheme];
    const info = readSpki(spki);
    if (info === null || !parameters.keys.includes(info.kind)) return false;
    try {
      const key = crypto.createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
      const { padding, saltLength } = parameters;
      const input: crypto.VerifyKeyObjectInput =
        padding === "pss"
          ? { key, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: saltLength! }
          : padding === "pkcs1"
            ? { key, padding: crypto.constants.RSA_PKCS1_PADDING }
            : { key, dsaEncoding: "der" };
      return crypto.verify(parameters.hash, data, input, signature);
    } catch {
      return false;
    }
  }
}

export { NodeProvider };

/** The provider over node:crypto. */
export function nodeProvider(): CryptoProvider {
  return new NodeProvider();
}
