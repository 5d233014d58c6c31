// Key agreement and signature checks through libcrypto: the keys go in as numbers and points, past OpenSSL's decoders,
// which cost more than the curve.

import type { LibCrypto } from "../ffi/libcrypto.ts";
import { bytesEqual } from "../protocol/bytes.ts";
import { MAX_VERIFY_KEYS } from "../protocol/limits.ts";
import { readSpki } from "./der.ts";
import type { KeyShare, SignatureName } from "./provider.ts";

const NID_X25519 = 1034;
const EVP_PKEY_EC = 408;

/** Offsets in the scratch memory. */
const PRIVATE = 0;
const PEER = 64;
const OUT = 128;

/** An X25519 key, rfc7748. */
export class FfiX25519Share implements KeyShare {
  readonly group = "x25519";
  readonly publicKey: Uint8Array;
  readonly #lib: LibCrypto;
  /** OpenSSL's key: it computes the public one when it is made, so it is made once. */
  #key: number;

  constructor(lib: LibCrypto, random: (out: Uint8Array) => void) {
    const { call, scratch, scratchAddress } = lib;
    this.#lib = lib;
    random(scratch.subarray(PRIVATE, PRIVATE + 32));
    this.#key = call.rawPrivateKey(NID_X25519, 0, scratchAddress + PRIVATE, 32);
    scratch.fill(0, PRIVATE, PRIVATE + 32);
    if (this.#key === 0) throw lib.failure("making an X25519 key");
    lib.length = 32;
    if (call.getRawPublicKey(this.#key, scratchAddress + OUT, lib.lengthAddress) !== 1) {
      call.pkeyFree(this.#key);
      throw lib.failure("an X25519 key's public part");
    }
    this.publicKey = scratch.slice(OUT, OUT + 32);
    lib.own(this.#key, this);
  }

  agree(peer: Uint8Array): Uint8Array | null {
    if (peer.length !== 32) return null;
    const lib = this.#lib;
    const { call, scratch, scratchAddress, lengthAddress } = lib;
    const own = this.#key;
    scratch.set(peer, PEER);
    const other = call.rawPublicKey(NID_X25519, 0, scratchAddress + PEER, 32);
    const context = own === 0 ? 0 : call.pkeyContext(own, 0);
    lib.length = 32;
    const ok =
      other !== 0 &&
      context !== 0 &&
      call.deriveInit(context) === 1 &&
      call.deriveSetPeer(context, other) === 1 &&
      call.derive(context, scratchAddress + OUT, lengthAddress) === 1;
    call.pkeyContextFree(context);
    call.pkeyFree(other);
    const secret = scratch.slice(OUT, OUT + 32);
    scratch.fill(0, OUT, OUT + 32);
    if (!ok) call.clearErrors();
    // rfc8446#7.4.2 MUST check whether the computed Diffie-Hellman shared secret is the all-zero value and abort if
    // so: OpenSSL refuses it, and if one did not, this does.
    return ok && secret.some((byte) => byte !== 0) ? secret : null;
  }

  dispose(): void {
    if (this.#key !== 0) this.#lib.disown(this.#key, this);
    this.#key = 0;
  }
}

const ECDSA: {
  readonly [scheme in SignatureName]?: { kind: string; nid: number; point: number; digest: string };
} = {
  ecdsa_secp256r1_sha256: { kind: "ec-p256", nid: 415, point: 65, digest: "SHA2-256" },
  ecdsa_secp384r1_sha384: { kind: "ec-p384", nid: 715, point: 97, digest: "SHA2-384" },
};
const MAX_DATA = 8192;
const SIGNATURE = 8400;
const POINT = 8600;
/** Longer ones are no ECDSA signatures. */
const MAX_SIGNATURE = 144;

/**
 * Checks ECDSA signatures. Making OpenSSL's key from a point takes a third of the time that a check does, and a client
 * comes back to the same few servers: the last keys are kept.
 */
export class FfiVerifier {
  readonly #lib: LibCrypto;
  /** The one used last is first. */
  readonly #kept: { readonly nid: number; readonly point: Uint8Array; readonly key: number }[] = [];

  constructor(lib: LibCrypto) {
    this.#lib = lib;
  }

  /** Whether a signature is good; null where this is not for us to say. */
  verify(scheme: SignatureName, spki: Uint8Array, data: Uint8Array, signature: Uint8Array): boolean | null {
    const expected = ECDSA[scheme];
    if (expected === undefined || data.length > MAX_DATA) return null;
    const info = readSpki(spki);
    if (info === null || info.kind !== expected.kind || signature.length > MAX_SIGNATURE) return false;
    // rfc5480#2.2 the compressed form is possible in certificates: left to node.
    if (info.key.length !== expected.point || info.key[0] !== 4) return null;
    const digest = this.#lib.digest(expected.digest);
    // OpenSSL would take one of its choice.
    if (digest === 0) return null;
    const key = this.#key(expected.nid, info.key);
    if (key === 0) return false;
    const { call, scratch, scratchAddress } = this.#lib;
    scratch.set(data);
    scratch.set(signature, SIGNATURE);
    const context = call.mdContextNew();
    const ok =
      context !== 0 &&
      call.verifyInit(context, 0, digest, 0, key) === 1 &&
      call.verify(context, scratchAddress + SIGNATURE, signature.length, scratchAddress, data.length) === 1;
    call.mdContextFree(context);
    if (!ok) call.clearErrors();
    return ok;
  }

  /** OpenSSL's key for the point, 0 for none. */
  #key(nid: number, point: Uint8Array): number {
    const at = this.#kept.findIndex((kept) => kept.nid === nid && bytesEqual(kept.point, point));
    const found = at < 0 ? undefined : this.#kept.splice(at, 1)[0];
    const key = found?.key ?? this.#make(nid, point);
    if (key === 0) return 0;
    this.#kept.unshift(found ?? { nid, point: point.slice(), key });
    if (this.#kept.length > MAX_VERIFY_KEYS) this.#lib.call.pkeyFree(this.#kept.pop()!.key);
    return key;
  }

  #make(nid: number, point: Uint8Array): number {
    const { call, scratch, scratchAddress } = this.#lib;
    scratch.set(point, POINT);
    const ec = call.ecKeyNew(nid);
    // The functions take a pointer to a pointer each: the point's, which they move on, and the key's.
    const pointAddress = scratchAddress + POINT + 128;
    writePointer(scratch, POINT + 128, scratchAddress + POINT);
    const key = call.pkeyNew();
    // Checks that the point is on the curve.
    const good =
      ec !== 0 && key !== 0 && call.ecKeyFromPoint(this.#lib.pointerTo(ec), pointAddress, point.length) !== 0;
    if (good && call.pkeyAssign(key, EVP_PKEY_EC, ec) === 1) return key;
    // Not the key's yet.
    call.ecKeyFree(ec);
    call.pkeyFree(key);
    call.clearErrors();
    return 0;
  }
}

function writePointer(buffer: Uint8Array, at: number, value: number): void {
  new DataView(buffer.buffer, buffer.byteOffset).setBigUint64(at, BigInt(value), true);
}
