// Connection IDs that tell a load balancer, and nobody else, which server they belong to: QUIC-LB
// (draft-ietf-quic-load-balancers).

import { createCipheriv, createDecipheriv, type Cipher, type Decipher } from "node:crypto";
import { InvalidOptionError } from "../internal/protocol/errors.ts";
import { MAX_CONNECTION_ID_LENGTH } from "../internal/protocol/limits.ts";

/**
 * Makes the connection IDs of a Transport: `new Transport({ connectionIdGenerator })`. All have one length, so that packets
 * with short headers can be read (rfc9000#10.3.2), and say nothing to observers (rfc9000#5.1).
 */
export interface ConnectionIdGenerator {
  /** Bytes of each: 0 (such a transport can only dial) or 4 to 20. */
  readonly length: number;
  /**
   * A new one, of `length` bytes, that has not been given out before.
   * @param random fills what it is given with random bytes
   */
  generate(random: (out: Uint8Array) => void): Uint8Array;
}

/** What load balancers and servers share: one configuration of the pool. Sizes in bytes. */
export interface QuicLbLayout {
  /** 0 to 6: which configuration a connection ID is of, readable by anybody (quic-lb#3.1). */
  readonly configId: number;
  /** At least 1. */
  readonly serverIdLength: number;
  /** At least 4; with the server ID 19 at most. */
  readonly nonceLength: number;
  /** 16 bytes: AES-128 over the rest. In one pass where server ID and nonce make 16 bytes, else in four. Default: in clear. */
  readonly key?: Uint8Array;
}

/** One server's part of it. */
export interface QuicLbServer extends Omit<QuicLbLayout, "serverIdLength"> {
  readonly serverId: Uint8Array;
  /** The first byte tells the length, for hardware that looks keys up by connection ID. Default false: random bits. */
  readonly encodeLength?: boolean;
}

/** quic-lb#3.2 the codepoint of connection IDs that no configuration belongs to. */
const UNROUTABLE = 7;

/** Encrypts and decrypts what follows the first byte. quic-lb#5.4 */
class Block {
  readonly length: number;
  readonly #encryptor: Cipher | null;
  readonly #decryptor: Decipher | null;

  constructor(length: number, key: Uint8Array | undefined) {
    this.length = length;
    this.#encryptor =
      key === undefined ? null : createCipheriv("aes-128-ecb", key, null).setAutoPadding(false);
    // quic-lb#5.4.1 The load balancer decrypts the block; four passes encrypt both ways.
    const single = key !== undefined && length === 16;
    this.#decryptor = single ? createDecipheriv("aes-128-ecb", key, null).setAutoPadding(false) : null;
  }

  encrypt(plain: Uint8Array): Uint8Array {
    if (this.#encryptor === null) return plain;
    // quic-lb#5.4.1 When the nonce length and server ID length sum to exactly 16 octets, the server MUST use a single-pass
    // encryption algorithm.
    if (this.#decryptor !== null) return this.#encryptor.update(plain);
    const [left, right] = this.#split(plain);
    for (const pass of [1, 2, 3, 4]) this.#round(left, right, pass);
    return this.#join(left, right);
  }

  decrypt(cipher: Uint8Array): Uint8Array {
    if (this.#encryptor === null) return cipher;
    if (this.#decryptor !== null) return this.#decryptor.update(cipher);
    const [left, right] = this.#split(cipher);
    for (const pass of [4, 3, 2, 1]) this.#round(left, right, pass);
    return this.#join(left, right);
  }

  /** quic-lb#5.4.2.3 odd passes change the right half, even ones the left: XOR, so that each undoes itself. */
  #round(left: Uint8Array, right: Uint8Array, pass: number): void {
    const [from, to] = pass % 2 === 1 ? [left, right] : [right, left];
    // expand: input, zeros, the length of both halves, the pass.
    const input = new Uint8Array(16);
    input.set(from);
    input[14] = this.length;
    input[15] = pass;
    const mask = this.#encryptor!.update(input);
    for (let i = 0; i < to.length; i++) to[i]! ^= mask[i]!;
    this.#clear(left, right);
  }

  /** Halves of an odd length share the byte in the middle, four bits each. */
  #clear(left: Uint8Array, right: Uint8Array): void {
    if (this.length % 2 === 0) return;
    left[left.length - 1]! &= 0xf0;
    right[0]! &= 0x0f;
  }

  #split(block: Uint8Array): [Uint8Array, Uint8Array] {
    const half = Math.ceil(this.length / 2);
    const left = block.slice(0, half);
    const right = block.slice(this.length - half, this.length);
    this.#clear(left, right);
    return [left, right];
  }

  #join(left: Uint8Array, right: Uint8Array): Uint8Array {
    const out = new Uint8Array(this.length);
    out.set(left);
    const from = this.length - right.length;
    if (from < left.length) out[from]! |= right[0]!;
    else out[from] = right[0]!;
    out.set(right.subarray(1), from + 1);
    return out;
  }
}

function checkLayout(name: string, layout: QuicLbLayout): void {
  const { configId, serverIdLength, nonceLength, key } = layout;
  const integer = (field: string, value: number, min: number, max: number): void => {
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new InvalidOptionError(
        `${name}.${field}`,
        `an integer from ${min} to ${max}, not ${String(value)}`,
      );
    }
  };
  // quic-lb#3.1 A configuration MUST NOT use the reserved identifier 0b111.
  integer("configId", configId, 0, UNROUTABLE - 1);
  // quic-lb#5.2 The nonce length MUST be at least 4 octets. The server ID length MUST be at least 1 octet. … the server ID and
  // nonce lengths MUST sum to 19 octets or less.
  integer("serverIdLength", serverIdLength, 1, 15);
  integer("nonceLength", nonceLength, 4, MAX_CONNECTION_ID_LENGTH - 1 - serverIdLength);
  if (key !== undefined && (!(key instanceof Uint8Array) || key.length !== 16)) {
    throw new InvalidOptionError(`${name}.key`, "16 bytes");
  }
}

/** The generator of one server behind QUIC-LB load balancers. */
export class QuicLbGenerator implements ConnectionIdGenerator {
  readonly length: number;
  #server: QuicLbServer;
  #block: Block;

  /**
   * @throws {InvalidOptionError} for a configuration that cannot be.
   * @example
   * const key = new Uint8Array(16).fill(7); // the pool's secret
   * const connectionIdGenerator = new QuicLbGenerator({ configId: 0, serverId: Uint8Array.of(0, 42), nonceLength: 6, key });
   * const transport = new Transport({ connectionIdGenerator });
   * const decoder = new QuicLbDecoder([{ configId: 0, serverIdLength: 2, nonceLength: 6, key }]);
   * console.log(decoder.serverId(connectionIdGenerator.generate((out) => crypto.getRandomValues(out))));
   * await transport.close();
   */
  constructor(server: QuicLbServer) {
    this.#block = blockOf(server);
    this.#server = server;
    this.length = 1 + this.#block.length;
  }

  /** The configuration in use. */
  get configId(): number {
    return this.#server.configId;
  }

  /**
   * Makes connection IDs by another configuration from now on. `transport.renewConnectionIds()` replaces those that peers have:
   * quic-lb#3.1 servers MUST NOT generate new connection IDs using an old configuration after receiving a new one.
   * @throws {InvalidOptionError} also where the length would change: a transport has one.
   */
  rotate(server: QuicLbServer): void {
    const block = blockOf(server);
    if (1 + block.length !== this.length) {
      throw new InvalidOptionError(
        "server",
        `connection IDs of ${this.length} bytes, as those of the transport`,
      );
    }
    this.#block = block;
    this.#server = server;
  }

  /** See ConnectionIdGenerator. */
  generate(random: (out: Uint8Array) => void): Uint8Array {
    const { configId, serverId, encodeLength } = this.#server;
    const plain = new Uint8Array(this.#block.length);
    // quic-lb#5.3 If there is no key, the server MUST fill the Nonce field with bytes that have no observable relationship to
    // the field in previously issued connection IDs.
    random(plain);
    plain.set(serverId);
    return withFirst(configId, encodeLength === true, this.#block.encrypt(plain), random);
  }
}

function blockOf(server: QuicLbServer): Block {
  const { serverId, nonceLength } = server;
  if (!(serverId instanceof Uint8Array)) throw new InvalidOptionError("server.serverId", "a Uint8Array");
  checkLayout("server", { ...server, serverIdLength: serverId.length });
  return new Block(serverId.length + nonceLength, server.key);
}

function withFirst(
  configId: number,
  encodeLength: boolean,
  block: Uint8Array,
  random: (out: Uint8Array) => void,
): Uint8Array {
  const cid = new Uint8Array(1 + block.length);
  cid.set(block, 1);
  // quic-lb#3.3 the five bits tell the length of what follows, or have no relationship to other connection IDs.
  if (encodeLength) cid[0] = block.length;
  else random(cid.subarray(0, 1));
  cid[0] = (configId << 5) | (cid[0]! & 0x1f);
  return cid;
}

/**
 * For a server that has no configuration yet: connection IDs that load balancers do not route by. quic-lb#3.2
 * @param length 8 to 20 bytes, default 8.
 */
export function unroutableConnectionIds(length = 8): ConnectionIdGenerator {
  if (!Number.isInteger(length) || length < 8 || length > MAX_CONNECTION_ID_LENGTH) {
    throw new InvalidOptionError("length", `an integer from 8 to ${MAX_CONNECTION_ID_LENGTH}`);
  }
  return {
    length,
    generate: (random) => {
      const block = new Uint8Array(length - 1);
      random(block);
      return withFirst(UNROUTABLE, true, block, random);
    },
  };
}

/** A load balancer's side: from a connection ID to the server it is of. */
export class QuicLbDecoder {
  readonly #layouts = new Map<number, { readonly serverIdLength: number; readonly block: Block }>();

  /** @param layouts the configurations in use, an ID each. @throws {InvalidOptionError} */
  constructor(layouts: readonly QuicLbLayout[]) {
    for (const layout of layouts) this.add(layout);
  }

  /** Adds a configuration, or replaces the one of its ID: before the servers use it (quic-lb#3.1). */
  add(layout: QuicLbLayout): void {
    checkLayout("layout", layout);
    const { configId, serverIdLength, nonceLength, key } = layout;
    this.#layouts.set(configId, { serverIdLength, block: new Block(serverIdLength + nonceLength, key) });
  }

  /** Forgets one, when no connection uses it any more. */
  delete(configId: number): void {
    this.#layouts.delete(configId);
  }

  /**
   * The server ID in a connection ID; null where that is unroutable (quic-lb#4): of no configuration, or too short for it.
   * @param connectionId may be followed by more: in short headers its length is not told.
   */
  serverId(connectionId: Uint8Array): Uint8Array | null {
    const layout = connectionId.length === 0 ? undefined : this.#layouts.get(connectionId[0]! >> 5);
    if (layout === undefined) return null;
    const { block, serverIdLength } = layout;
    if (connectionId.length < 1 + block.length) return null;
    const plain = block.decrypt(connectionId.subarray(1, 1 + block.length));
    return new Uint8Array(plain.subarray(0, serverIdLength));
  }
}
