// The default provider: OpenSSL through node:crypto.

import * as crypto from "node:crypto";
import { concatBytes } from "../protocol/bytes.ts";
import { hybridRespond, hybridShare } from "./hybrid.ts";
import { NodeAesHeaderProtector, NodeChaChaHeaderProtector, NodePacketAead } from "./node-aead.ts";
import { EcdhShare, nodeSigningKey, nodeVerify, plain, X25519Share } from "./node-keys.ts";
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
  SigningKey,
} from "./provider.ts";
import { SIGNATURE_PARAMETERS } from "./signatures.ts";

type Random = (out: Uint8Array) => void;

const TAG = { authTagLength: 16 } as const;
const HASH_LENGTH = { sha256: 32, sha384: 48, sha512: 64 } as const;

class NodeRunningHash implements RunningHash {
  readonly #hash: crypto.Hash;

  constructor(hash: crypto.Hash) {
    this.#hash = hash;
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  digest(): Uint8Array {
    return plain(this.#hash.copy().digest());
  }

  clone(): RunningHash {
    return new NodeRunningHash(this.#hash.copy());
  }
}

/** Provider over node:crypto; the simulator's is built on it. */
export class NodeProvider implements CryptoProvider {
  readonly name: string = "node";
  readonly aeads: readonly AeadName[] = ["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"];
  readonly groups: readonly GroupName[] = ["X25519MLKEM768", "x25519", "secp256r1", "secp384r1"];
  readonly signatures: readonly SignatureName[] = Object.keys(SIGNATURE_PARAMETERS) as SignatureName[];

  packetAead(name: AeadName, key: Uint8Array, iv: Uint8Array): PacketAead {
    return new NodePacketAead(name, key, iv);
  }

  headerProtector(name: AeadName, key: Uint8Array): HeaderProtector {
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
    // The types tell GCM and ChaCha20 apart, the calls do not.
    const cipher = crypto.createCipheriv(name as crypto.CipherGCMTypes, key, nonce, TAG);
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
    const decipher = crypto.createDecipheriv(name as crypto.CipherGCMTypes, key, nonce, TAG);
    decipher.setAAD(aad);
    decipher.setAuthTag(sealed.subarray(sealed.length - 16));
    const body = decipher.update(sealed.subarray(0, sealed.length - 16));
    try {
      decipher.final();
    } catch {
      return null;
    }
    return plain(body);
  }

  hash(name: HashName, data: Uint8Array): Uint8Array {
    return plain(crypto.createHash(name).update(data).digest());
  }

  runningHash(name: HashName): RunningHash {
    return new NodeRunningHash(crypto.createHash(name));
  }

  hmac(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array {
    return plain(crypto.createHmac(name, key).update(data).digest());
  }

  hkdfExtract(name: HashName, salt: Uint8Array, ikm: Uint8Array): Uint8Array {
    return this.hmac(name, salt, ikm);
  }

  /** rfc5869#2.3; node's hkdfSync always extracts first, so the expansion is written out. */
  hkdfExpand(name: HashName, prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
    if (length > 255 * HASH_LENGTH[name]) throw new RangeError("HKDF-Expand: more than 255 blocks");
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
    if (group === "X25519MLKEM768") return hybridShare(new X25519Share(random), nodeMlKem(), random);
    return new EcdhShare(group, random);
  }

  respond(
    group: GroupName,
    peerShare: Uint8Array,
    random: Random,
  ): { publicKey: Uint8Array; secret: Uint8Array } | null {
    if (group === "X25519MLKEM768") {
      return hybridRespond(new X25519Share(random), nodeMlKem(), peerShare, random);
    }
    const share = this.keyShare(group, random);
    const secret = share.agree(peerShare);
    share.dispose();
    return secret === null ? null : { publicKey: share.publicKey, secret };
  }

  signingKey(der: Uint8Array): SigningKey {
    return nodeSigningKey(der);
  }

  verify(scheme: SignatureName, spki: Uint8Array, data: Uint8Array, signature: Uint8Array): boolean {
    return nodeVerify(scheme, spki, data, signature);
  }
}

/** The provider over node:crypto. */
export function nodeProvider(): CryptoProvider {
  return new NodeProvider();
}
