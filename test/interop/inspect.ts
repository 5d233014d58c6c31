// Reads the handshake that the relay has kept: the Initial packets, whose keys anybody can derive (rfc9001#5.2), and the server's
// Handshake packets where a key log gives their secret. On node:crypto alone, apart from the stack under test.

import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";
import type { Captured } from "./relay/relay.ts";
import { HANDSHAKE, INITIAL, type LongPacket, longPackets } from "./relay/packets.ts";

/** What a handshake said. */
export interface Handshake {
  /** TLS cipher suites, as numbers of rfc8446#B.4. */
  offeredSuites: number[];
  suite: number | null;
  /** Key agreement group of the server's share; 0x11ec is X25519MLKEM768. */
  group: number | null;
  /** The server took a pre-shared key. */
  resumed: boolean;
  /** The client asked for 0-RTT. */
  offeredEarlyData: boolean;
  /** The server took it; null without a key log. */
  acceptedEarlyData: boolean | null;
  /** Of the client's first Initial. */
  originalVersion: number;
  /** Of the server's Handshake packets. */
  negotiatedVersion: number | null;
  /** Key phase bits of the 1-RTT packets from each side, in order, repetitions left out. Empty without a key log. */
  keyPhases: { client: number[]; server: number[] };
  /** The server's transport parameters by number, integers only (rfc9000#18.2). Empty without a key log. */
  serverParameters: Map<number, number>;
}

interface Keys {
  aead: "aes-128-gcm" | "aes-256-gcm" | "chacha20-poly1305";
  key: Buffer;
  iv: Buffer;
  hp: Buffer;
}

/** TLS extensions, rfc8446#4.2, rfc9001#8.2. */
const PRE_SHARED_KEY = 41;
const EARLY_DATA = 42;
const KEY_SHARE = 51;
const QUIC_TRANSPORT_PARAMETERS = 0x39;

const VERSIONS = new Map([
  [1, { salt: "38762cf7f55934b34d179ae6a4c80cadccbb7f0a", label: "quic" }],
  [0x6b3343cf, { salt: "0dede3def700a6db819381be6e269dcbf9bd2ed9", label: "quicv2" }],
]);
const SUITES = new Map([
  [0x1301, { aead: "aes-128-gcm", hash: "sha256", length: 16 }],
  [0x1302, { aead: "aes-256-gcm", hash: "sha384", length: 32 }],
  [0x1303, { aead: "chacha20-poly1305", hash: "sha256", length: 32 }],
] as const);

function expand(hash: string, secret: Buffer, label: string, length: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([Buffer.from([length >> 8, length, name.length]), name, Buffer.from([0])]);
  // One block is enough for every length here.
  return createHmac(hash, secret)
    .update(Buffer.concat([info, Buffer.from([1])]))
    .digest()
    .subarray(0, length);
}

function keysOf(suite: number, label: string, secret: Buffer): Keys {
  const { aead, hash, length } = SUITES.get(suite as 0x1301)!;
  return {
    aead,
    key: expand(hash, secret, `${label} key`, length),
    iv: expand(hash, secret, `${label} iv`, 12),
    hp: expand(hash, secret, `${label} hp`, length),
  };
}

function initialKeys(version: number, dcid: Uint8Array, server: boolean): Keys | null {
  const entry = VERSIONS.get(version);
  if (entry === undefined) return null;
  const initial = createHmac("sha256", Buffer.from(entry.salt, "hex")).update(dcid).digest();
  return keysOf(0x1301, entry.label, expand("sha256", initial, server ? "server in" : "client in", 32));
}

function mask({ aead, hp }: Keys, sample: Buffer): Buffer {
  if (aead === "chacha20-poly1305") {
    return createCipheriv("chacha20", hp, sample).update(Buffer.alloc(5));
  }
  const cipher = createCipheriv(aead === "aes-128-gcm" ? "aes-128-ecb" : "aes-256-ecb", hp, null);
  return cipher.update(sample);
}

/** The payload of a packet, or null where the keys are not its own. */
function open(keys: Keys, datagram: Uint8Array, packet: LongPacket): Buffer | null {
  const bytes = Buffer.from(datagram.subarray(packet.start, packet.end));
  const pnAt = packet.pnOffset - packet.start;
  if (pnAt + 20 > bytes.length) return null;
  const bits = mask(keys, bytes.subarray(pnAt + 4, pnAt + 20));
  bytes[0] = bytes[0]! ^ (bits[0]! & 0x0f);
  const pnLength = (bytes[0]! & 3) + 1;
  const nonce = Buffer.from(keys.iv);
  for (let i = 0; i < pnLength; i++) {
    bytes[pnAt + i] = bytes[pnAt + i]! ^ bits[1 + i]!;
    // A handshake is short: its packet numbers are what the truncated ones say.
    nonce[12 - pnLength + i] = nonce[12 - pnLength + i]! ^ bytes[pnAt + i]!;
  }
  const decipher = createDecipheriv(keys.aead as "aes-128-gcm", keys.key, nonce, { authTagLength: 16 });
  decipher.setAAD(bytes.subarray(0, pnAt + pnLength));
  decipher.setAuthTag(bytes.subarray(bytes.length - 16));
  try {
    const plain = decipher.update(bytes.subarray(pnAt + pnLength, bytes.length - 16));
    decipher.final();
    return plain;
  } catch {
    return null;
  }
}

/** Reads integers; past the end it gives zeros, which end every loop below. */
class Cursor {
  at = 0;
  readonly buf: Buffer;
  constructor(buf: Buffer) {
    this.buf = buf;
  }
  get done(): boolean {
    return this.at >= this.buf.length;
  }
  uint(length: number): number {
    let value = 0;
    for (let i = 0; i < length; i++) value = value * 256 + (this.buf[this.at++] ?? 0);
    return value;
  }
  varint(): number {
    const first = this.uint(1);
    let value = first & 0x3f;
    for (let i = 1; i < 1 << (first >> 6); i++) value = value * 256 + this.uint(1);
    return value;
  }
  take(length: number): Buffer {
    const part = this.buf.subarray(this.at, this.at + length);
    this.at += length;
    return part;
  }
}

/** Puts CRYPTO frames together (rfc9000#19.6). */
class CryptoStream {
  readonly #parts: { offset: number; data: Buffer }[] = [];

  addFrames(payload: Buffer): void {
    const frames = new Cursor(payload);
    while (!frames.done) {
      const type = frames.varint();
      if (type === 0x02 || type === 0x03) {
        frames.varint();
        frames.varint();
        const ranges = frames.varint();
        for (let i = 0; i < 1 + ranges * 2; i++) frames.varint();
        if (type === 0x03) for (let i = 0; i < 3; i++) frames.varint();
      } else if (type === 0x06) {
        const offset = frames.varint();
        this.#parts.push({ offset, data: frames.take(frames.varint()) });
      } else if (type > 0x01) return;
    }
  }

  /** Complete handshake messages from the start. */
  messages(): { type: number; body: Cursor }[] {
    let bytes = Buffer.alloc(0);
    for (const { offset, data } of this.#parts.sort((a, b) => a.offset - b.offset)) {
      if (offset > bytes.length) break;
      if (offset + data.length > bytes.length) bytes = Buffer.concat([bytes.subarray(0, offset), data]);
    }
    const found: { type: number; body: Cursor }[] = [];
    const cursor = new Cursor(bytes);
    while (bytes.length - cursor.at >= 4) {
      const type = cursor.uint(1);
      const length = cursor.uint(3);
      if (cursor.at + length > bytes.length) break;
      found.push({ type, body: new Cursor(cursor.take(length)) });
    }
    return found;
  }
}

function* extensions(cursor: Cursor): Generator<{ type: number; body: Cursor }> {
  const list = new Cursor(cursor.take(cursor.uint(2)));
  while (!list.done) yield { type: list.uint(2), body: new Cursor(list.take(list.uint(2))) };
}

/** Reads the first connection in `captured`; `keyLog` is the text of an SSLKEYLOGFILE. Null without a whole ClientHello. */
export function inspectHandshake(
  captured: readonly Captured[],
  keyLog = "",
  shorts: readonly Captured[] = [],
): Handshake | null {
  const packets = captured.flatMap(({ toServer, data }) =>
    longPackets(data).map((packet) => ({ toServer, data, packet })),
  );
  // After a Retry the keys come from the server's connection ID: rfc9001#5.2.
  const ids = new Map<string, { version: number; dcid: Uint8Array }>();
  for (const { toServer, packet } of packets) {
    if (!toServer || packet.type !== INITIAL) continue;
    const key = `${packet.version} ${Buffer.from(packet.dcid).toString("hex")}`;
    if (ids.size < 8) ids.set(key, packet);
  }
  const fromClient = new CryptoStream();
  const fromServer = new CryptoStream();
  for (const { toServer, data, packet } of packets) {
    if (packet.type !== INITIAL) continue;
    for (const { dcid } of ids.values()) {
      const keys = initialKeys(packet.version, dcid, !toServer);
      const payload = keys === null ? null : open(keys, data, packet);
      if (payload === null) continue;
      (toServer ? fromClient : fromServer).addFrames(payload);
      break;
    }
  }
  const clientHello = fromClient.messages().find(({ type }) => type === 1)?.body;
  if (clientHello === undefined) return null;
  const version = (server: boolean, type: number): number | null =>
    packets.find((each) => each.toServer !== server && each.packet.type === type)?.packet.version ?? null;
  const found: Handshake = {
    offeredSuites: [],
    suite: null,
    group: null,
    resumed: false,
    offeredEarlyData: false,
    acceptedEarlyData: null,
    originalVersion: version(false, INITIAL)!,
    negotiatedVersion: version(true, HANDSHAKE),
    keyPhases: { client: [], server: [] },
    serverParameters: new Map(),
  };
  clientHello.take(2);
  const random = clientHello.take(32).toString("hex");
  clientHello.take(clientHello.uint(1));
  const suites = new Cursor(clientHello.take(clientHello.uint(2)));
  while (!suites.done) found.offeredSuites.push(suites.uint(2));

  clientHello.take(clientHello.uint(1));
  for (const { type } of extensions(clientHello)) if (type === EARLY_DATA) found.offeredEarlyData = true;

  // The last one: a HelloRetryRequest comes before it.
  const serverHello = fromServer.messages().findLast(({ type }) => type === 2)?.body;
  if (serverHello === undefined) return found;
  serverHello.take(34);
  serverHello.take(serverHello.uint(1));
  found.suite = serverHello.uint(2);
  serverHello.take(1);
  for (const { type, body } of extensions(serverHello)) {
    if (type === KEY_SHARE) found.group = body.uint(2);
    if (type === PRE_SHARED_KEY) found.resumed = true;
  }

  const logged = (label: string) => new RegExp(`^${label} ${random} ([0-9a-f]+)`, "mi").exec(keyLog)?.[1];
  const secret = logged("SERVER_HANDSHAKE_TRAFFIC_SECRET");
  if (secret === undefined || !SUITES.has(found.suite as 0x1301)) return found;
  for (const side of ["client", "server"] as const) {
    const traffic = logged(`${side.toUpperCase()}_TRAFFIC_SECRET_0`);
    const label = VERSIONS.get(found.negotiatedVersion ?? 0)?.label;
    // The receiver's connection ID, whose length a short header does not say.
    const receiver = packets.find(
      ({ toServer, packet }) => toServer === (side === "server") && packet.type === HANDSHAKE,
    );
    if (traffic === undefined || label === undefined || receiver === undefined) continue;
    const keys = keysOf(found.suite!, label, Buffer.from(traffic, "hex"));
    const at = 1 + receiver.packet.scid.length + 4;
    for (const { toServer, data } of shorts) {
      if (toServer !== (side === "client") || data.length < at + 16) continue;
      const first = data[0]! ^ (mask(keys, Buffer.from(data.subarray(at, at + 16)))[0]! & 0x1f);
      // Reserved bits: what is not 0 was not made with these keys.
      if ((first & 0x18) !== 0) continue;
      const phase = (first >> 2) & 1;
      if (found.keyPhases[side].at(-1) !== phase) found.keyPhases[side].push(phase);
    }
  }
  const encrypted = new CryptoStream();
  for (const { toServer, data, packet } of packets) {
    if (toServer || packet.type !== HANDSHAKE) continue;
    const label = VERSIONS.get(packet.version)?.label;
    if (label === undefined) continue;
    const payload = open(keysOf(found.suite, label, Buffer.from(secret, "hex")), data, packet);
    if (payload !== null) encrypted.addFrames(payload);
  }
  const encryptedExtensions = encrypted.messages().find(({ type }) => type === 8)?.body;
  if (encryptedExtensions === undefined) return found;
  found.acceptedEarlyData = false;
  for (const { type, body } of extensions(encryptedExtensions)) {
    if (type === EARLY_DATA) found.acceptedEarlyData = true;
    if (type !== QUIC_TRANSPORT_PARAMETERS) continue;
    while (!body.done) {
      const id = body.varint();
      const value = new Cursor(body.take(body.varint()));
      const integer = value.varint();
      if (value.at === value.buf.length) found.serverParameters.set(id, integer);
    }
  }
  return found;
}
