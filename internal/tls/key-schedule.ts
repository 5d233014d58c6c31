// The key schedule, rfc8446#7.1.

import { hkdfExpandLabel } from "../crypto/hkdf.ts";
import { utf8 } from "../protocol/bytes.ts";
import { InvalidOptionError } from "../protocol/errors.ts";
import type { CryptoProvider, HashName } from "../crypto/provider.ts";
import type { CipherSuite } from "../crypto/suites.ts";
import { smallCopy } from "../protocol/small-bytes.ts";

/** One pair of traffic secrets. Zero them after use. */
export interface TrafficSecrets {
  readonly client: Uint8Array;
  readonly server: Uint8Array;
}

interface Constants {
  readonly emptyHash: Uint8Array;
  /** Without a PSK; no secret, for all its name. */
  readonly earlySecret: Uint8Array;
}

const constants = new Map<HashName, Constants>();

/** What is the same in every handshake with a hash. */
function constantsOf(provider: CryptoProvider, { hash, hashLength }: HashOf): Constants {
  let known = constants.get(hash);
  if (known === undefined) {
    // rfc8446#7.1 if a given secret is not available, then the 0-value consisting of a string of Hash.length bytes
    // set to zeros is used
    const zeros = new Uint8Array(hashLength);
    const earlySecret = provider.hkdfExtract(hash, zeros, zeros);
    known = { emptyHash: provider.hash(hash, new Uint8Array(0)), earlySecret };
    constants.set(hash, known);
  }
  return known;
}

type HashOf = Pick<CipherSuite, "hash" | "hashLength">;

/**
 * Early, handshake and master secret, one after the other: each `enter…` replaces (and zeroes) the one before, so what
 * hangs off a secret is derived before going on.
 */
export class KeySchedule {
  readonly #provider: CryptoProvider;
  readonly #hash: HashName;
  readonly #length: number;
  readonly #emptyHash: Uint8Array;
  /** The Early, Handshake or Master Secret, whichever is current. */
  #secret: Uint8Array;

  /** Starts with the Early Secret; `psk` null where there is none. */
  constructor(provider: CryptoProvider, suite: HashOf, psk: Uint8Array | null = null) {
    this.#provider = provider;
    this.#hash = suite.hash;
    this.#length = suite.hashLength;
    const constants = constantsOf(provider, suite);
    this.#emptyHash = constants.emptyHash;
    this.#secret =
      psk === null
        ? constants.earlySecret.slice()
        : provider.hkdfExtract(this.#hash, new Uint8Array(this.#length), psk);
  }

  /** Derive-Secret(current secret, label, messages) with the messages' hash. */
  derive(label: string, transcriptHash: Uint8Array): Uint8Array {
    return this.#expand(this.#secret, label, transcriptHash);
  }

  /**
   * At the Early Secret: the binder of its PSK, rfc8446#4.2.11.2, from the transcript up to the ClientHello without
   * binders.
   */
  binder(external: boolean, transcriptHash: Uint8Array): Uint8Array {
    const key = this.derive(external ? "ext binder" : "res binder", this.#emptyHash);
    const binder = this.finished(key, transcriptHash);
    key.fill(0);
    return binder;
  }

  /** At the Early Secret, with the ClientHello alone as the transcript. */
  earlyTraffic(transcriptHash: Uint8Array): Uint8Array {
    return this.derive("c e traffic", transcriptHash);
  }

  /** Early Secret → Handshake Secret. Zeroes `shared`; null: there is none. */
  enterHandshake(shared: Uint8Array | null): void {
    // rfc8446#7.1 zeros where there is no key agreement (psk_ke).
    const input = shared ?? new Uint8Array(this.#length);
    this.#advance(input);
    input.fill(0);
  }

  /** Handshake Secret → Master Secret. */
  enterMaster(): void {
    this.#advance(new Uint8Array(this.#length));
  }

  /** At the Handshake Secret, with the transcript up to ServerHello. */
  handshakeTraffic(transcriptHash: Uint8Array): TrafficSecrets {
    return {
      client: this.derive("c hs traffic", transcriptHash),
      server: this.derive("s hs traffic", transcriptHash),
    };
  }

  /** At the Master Secret, with the transcript up to the server's Finished. */
  applicationTraffic(transcriptHash: Uint8Array): TrafficSecrets {
    return {
      client: this.derive("c ap traffic", transcriptHash),
      server: this.derive("s ap traffic", transcriptHash),
    };
  }

  /** At the Master Secret, with the transcript up to the server's Finished. The exporter outlives the schedule. */
  exporter(transcriptHash: Uint8Array): Exporter {
    return new Exporter(this.#provider, this.#hash, this.derive("exp master", transcriptHash));
  }

  /** At the Master Secret, with the whole transcript. */
  resumptionMaster(transcriptHash: Uint8Array): Uint8Array {
    return this.derive("res master", transcriptHash);
  }

  /** verify_data of a Finished message, rfc8446#4.4.4. `base` is the traffic secret of its sender. */
  finished(base: Uint8Array, transcriptHash: Uint8Array): Uint8Array {
    const key = this.#expand(base, "finished", new Uint8Array(0));
    const mac = this.#provider.hmac(this.#hash, key, transcriptHash);
    key.fill(0);
    return mac;
  }

  dispose(): void {
    this.#secret.fill(0);
  }

  #advance(input: Uint8Array): void {
    const salt = this.derive("derived", this.#emptyHash);
    this.#secret.fill(0);
    this.#secret = this.#provider.hkdfExtract(this.#hash, salt, input);
    salt.fill(0);
  }

  #expand(secret: Uint8Array, label: string, context: Uint8Array): Uint8Array {
    return hkdfExpandLabel(this.#provider, this.#hash, secret, label, context, this.#length);
  }
}

/** Keying material for the application, rfc8446#7.5. */
export class Exporter {
  readonly #provider: CryptoProvider;
  readonly #hash: HashName;
  readonly #master: Uint8Array;

  constructor(provider: CryptoProvider, hash: HashName, master: Uint8Array) {
    this.#provider = provider;
    this.#hash = hash;
    // Kept as long as the connection: a piece of a slab takes half the memory.
    this.#master = smallCopy(master);
    master.fill(0);
  }

  /** For the key log alone. */
  get master(): Uint8Array {
    return this.#master;
  }

  /**
   * TLS-Exporter(label, context, length).
   * @throws {InvalidOptionError} for a label or a length beyond what HKDF can do.
   */
  export(label: string, context: Uint8Array, length: number): Uint8Array {
    const provider = this.#provider;
    const hash = this.#hash;
    const size = this.#master.length;
    if (utf8(label).length > 249) throw new InvalidOptionError("label", "longer than 249 bytes");
    if (!Number.isInteger(length) || length < 0 || length > 255 * size) {
      throw new InvalidOptionError("length", `must be an integer from 0 to ${255 * size}`);
    }
    const empty = provider.hash(hash, new Uint8Array(0));
    const secret = hkdfExpandLabel(provider, hash, this.#master, label, empty, size);
    const out = hkdfExpandLabel(provider, hash, secret, "exporter", provider.hash(hash, context), length);
    secret.fill(0);
    return out;
  }

  dispose(): void {
    this.#master.fill(0);
  }
}

/** The PSK of a ticket, rfc8446#4.6.1, from the resumption master secret. */
export function resumptionPsk(
  provider: CryptoProvider,
  suite: CipherSuite,
  master: Uint8Array,
  nonce: Uint8Array,
): Uint8Array {
  return hkdfExpandLabel(provider, suite.hash, master, "resumption", nonce, suite.hashLength);
}
