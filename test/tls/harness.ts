// A client and a server machine in memory, with a wire between them that tests can tamper with.
import assert from "node:assert/strict";
import * as crypto from "node:crypto";
import { nobleProvider } from "../../internal/crypto/noble.ts";
import { nodeProvider } from "../../internal/crypto/node.ts";
import type { CryptoProvider } from "../../internal/crypto/provider.ts";
import type { CipherSuite } from "../../internal/crypto/suites.ts";
import { errorCodeName, type Level } from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import type { RandomSource } from "../../internal/protocol/random.ts";
import { TlsClient } from "../../internal/tls/client.ts";
import { Decoder, encode } from "../../internal/tls/codec.ts";
import { makeCertificate, type CertificateAndKey } from "../../internal/tls/self-signed.ts";
import { TlsServer } from "../../internal/tls/server.ts";
import type { TlsSession } from "../../internal/tls/session.ts";
import type {
  Identity,
  PendingRequest,
  TlsClientOptions,
  TlsServerOptions,
  TlsSink,
} from "../../internal/tls/types.ts";

export const NOW = Date.UTC(2025, 5, 1);
export const NODE = nodeProvider();
export const NOBLE = nobleProvider();

/** mulberry32: the same bytes for the same seed. */
export function seeded(seed: number): RandomSource {
  let state = seed >>> 0;
  return (out) => {
    for (let i = 0; i < out.length; i++) {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      out[i] = (t ^ (t >>> 14)) >>> 24;
    }
  };
}

export type KeyKind = "ec-p256" | "ec-p384" | "ec-p521" | "ed25519" | "rsa" | "rsa-pss";

const made = new Map<KeyKind, CertificateAndKey>();

/** A certificate for example.org; one per kind of key and run. */
export function certificate(kind: KeyKind): CertificateAndKey {
  let found = made.get(kind);
  if (found === undefined) {
    const common = {
      provider: NODE,
      random: seeded(7),
      altNames: ["DNS:example.org"],
      notBefore: NOW - 1e9,
      notAfter: NOW + 1e10,
    };
    found =
      kind === "rsa" || kind === "rsa-pss"
        ? makeCertificate({ ...common, key: rsaKey(kind) })
        : makeCertificate({ ...common, keyType: kind });
    made.set(kind, found);
  }
  return found;
}

function rsaKey(kind: "rsa" | "rsa-pss"): Uint8Array {
  const { privateKey } =
    kind === "rsa"
      ? crypto.generateKeyPairSync("rsa", { modulusLength: 2048 })
      : crypto.generateKeyPairSync("rsa-pss", { modulusLength: 2048 });
  return new Uint8Array(privateKey.export({ format: "der", type: "pkcs8" }));
}

const identities = new Map<string, Identity>();

export function identity(kind: KeyKind = "ec-p256", provider: CryptoProvider = NODE): Identity {
  const name = `${kind} ${provider.name}`;
  let found = identities.get(name);
  if (found === undefined) {
    const { cert, key } = certificate(kind);
    found = { chain: [cert], key: provider.signingKey(key) };
    identities.set(name, found);
  }
  return found;
}

export interface Sent {
  readonly level: Level;
  readonly bytes: Uint8Array;
}

/** A sink that remembers. */
export class Recorder implements TlsSink {
  readonly sent: Sent[] = [];
  readonly secrets: string[] = [];
  readonly handed: Uint8Array[] = [];
  readonly requests: PendingRequest[] = [];
  readonly keyLogLines: string[] = [];
  readonly tickets: TlsSession[] = [];
  readonly early: boolean[] = [];
  readonly levels: string[] = [];
  peerParameters: string | null = null;
  completed = 0;

  sendCrypto(level: Level, bytes: Uint8Array): void {
    this.sent.push({ level, bytes });
  }
  installSecrets(level: Level, suite: CipherSuite, read: Uint8Array | null, write: Uint8Array | null): void {
    for (const [direction, secret] of [
      ["read", read],
      ["write", write],
    ] as const) {
      if (secret === null) continue;
      assert.equal(secret.length, suite.hashLength);
      this.levels.push(`${level} ${direction}`);
      this.secrets.push(Buffer.from(secret).toString("hex"));
      this.handed.push(secret);
    }
  }
  peerTransportParameters(bytes: Uint8Array): void {
    assert.equal(this.peerParameters, null, "transport parameters come once");
    this.peerParameters = Buffer.from(bytes).toString();
  }
  pending(request: PendingRequest): void {
    this.requests.push(request);
  }
  handshakeComplete(): void {
    this.completed++;
  }
  keyLog(label: string, clientRandom: Uint8Array, secret: Uint8Array): void {
    this.keyLogLines.push(
      `${label} ${Buffer.from(clientRandom).toString("hex")} ${Buffer.from(secret).toString("hex")}`,
    );
  }
  sessionTicket(session: TlsSession): void {
    this.tickets.push(session);
  }
  earlyData(accepted: boolean): void {
    this.early.push(accepted);
  }
}

export interface PairOptions {
  client?: Partial<TlsClientOptions>;
  server?: Partial<TlsServerOptions>;
  provider?: CryptoProvider;
  seed?: number;
}

export interface Pair {
  readonly client: TlsClient;
  readonly server: TlsServer;
  readonly c: Recorder;
  readonly s: Recorder;
}

export function pair(options: PairOptions = {}): Pair {
  const provider = options.provider ?? NODE;
  const c = new Recorder();
  const s = new Recorder();
  const seed = options.seed ?? 1;
  const client = new TlsClient(
    {
      provider,
      random: seeded(seed),
      groups: ["x25519", "secp256r1"],
      alpn: ["h3"],
      serverName: "example.org",
      transportParameters: Buffer.from("client parameters"),
      verify: () => ({ ok: true }),
      keyLog: true,
      ...options.client,
    },
    c,
  );
  const server = new TlsServer(
    {
      provider,
      random: seeded(seed + 1000),
      alpn: ["h3"],
      transportParameters: Buffer.from("server parameters"),
      identity: options.server?.identity ?? identity("ec-p256", provider),
      clientAuth: "none",
      verify: () => ({ ok: true }),
      keyLog: true,
      ...options.server,
    },
    s,
  );
  return { client, server, c, s };
}

/** What becomes of a message on the way: itself, another, several, or none. */
export type Tamper = (from: "client" | "server", sent: Sent) => Sent[] | Uint8Array | null;

/** Delivers until both are quiet. `chunk` cuts what is delivered into pieces of so many bytes. */
export function pump(p: Pair, tamper: Tamper = (_, sent) => sent.bytes, chunk = Infinity): void {
  for (;;) {
    const fromClient = p.c.sent.shift();
    const fromServer = fromClient === undefined ? p.s.sent.shift() : undefined;
    const sent = fromClient ?? fromServer;
    if (sent === undefined) return;
    const result = tamper(fromClient === undefined ? "server" : "client", sent);
    const out =
      result === null ? [] : result instanceof Uint8Array ? [{ level: sent.level, bytes: result }] : result;
    const target = fromClient === undefined ? p.client : p.server;
    for (const { level, bytes } of out) {
      for (let at = 0; at < bytes.length; at += chunk) {
        target.receive(level, bytes.slice(at, Math.min(bytes.length, at + chunk)), NOW);
      }
    }
  }
}

export function connect(options: PairOptions = {}, tamper?: Tamper, chunk?: number): Pair {
  const p = pair(options);
  p.client.start(NOW);
  pump(p, tamper, chunk);
  return p;
}

/** Changes messages of one type from one side; `edit` may be called for each. */
export function edit(
  from: "client" | "server",
  type: number,
  change: (bytes: Uint8Array, nth: number) => Uint8Array | Sent[] | null,
): Tamper {
  let nth = 0;
  return (sender, sent) =>
    sender === from && sent.bytes[0] === type ? change(sent.bytes, nth++) : sent.bytes;
}

export function assertConnected(p: Pair): void {
  assert.ok(p.client.complete && p.server.complete, "complete");
  assert.equal(p.c.completed, 1);
  assert.equal(p.s.completed, 1);
  assert.deepEqual(
    [...p.c.keyLogLines].sort(),
    [...p.s.keyLogLines].sort(),
    "both sides have the same secrets",
  );
}

/** The name of an alert, or `PROTOCOL_VIOLATION` and the like. */
export function failureOf(run: () => void): string {
  try {
    run();
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    assert.equal(error.remote, false);
    return error.alert ?? errorCodeName(error.errorCode);
  }
  return "none";
}

/** A Hello taken apart, to be put together otherwise. */
export interface RawHello {
  version: number;
  random: Uint8Array;
  sessionId: Uint8Array;
  /** The list for a ClientHello, one for a ServerHello. */
  suites: number[];
  compression: Uint8Array;
  extensions: [type: number, data: Uint8Array][];
}

export function readHello(raw: Uint8Array): RawHello {
  const from = new Decoder(raw.subarray(4), "test");
  const client = raw[0] === 1;
  const version = from.u16();
  const random = from.bytes(32);
  const sessionId = from.opaque(1, 0);
  const suites = client ? from.u16s(2) : [from.u16()];
  const compression = client ? from.opaque(1, 0) : from.bytes(1);
  return { version, random, sessionId, suites, compression, extensions: readBlock(from) };
}

export function readBlock(from: Decoder): [number, Uint8Array][] {
  const block = from.vector(2, 0);
  const extensions: [number, Uint8Array][] = [];
  while (block.remaining > 0) extensions.push([block.u16(), block.opaque(2, 0)]);
  return extensions;
}

export function writeBlock(extensions: readonly [number, Uint8Array][]): Uint8Array {
  return encode((out) =>
    out.vector(2, () => {
      for (const [type, data] of extensions) {
        out.u16(type);
        out.opaque(2, data);
      }
    }),
  );
}

export function writeHello(type: 1 | 2, hello: RawHello): Uint8Array {
  return encode((out) => {
    out.u8(type);
    out.vector(3, () => {
      out.u16(hello.version);
      out.bytes(hello.random);
      out.opaque(1, hello.sessionId);
      if (type === 1) {
        out.u16s(2, hello.suites);
        out.opaque(1, hello.compression);
      } else {
        out.u16(hello.suites[0]!);
        out.bytes(hello.compression);
      }
      out.bytes(writeBlock(hello.extensions));
    });
  });
}

/** `change` applied to a ClientHello or ServerHello. */
export function changeHello(raw: Uint8Array, change: (hello: RawHello) => void): Uint8Array {
  const hello = readHello(raw);
  change(hello);
  return writeHello(raw[0] as 1 | 2, hello);
}

/** Replaces, adds (behind) or, with null, removes an extension. */
export function setExtension(list: [number, Uint8Array][], type: number, data: Uint8Array | null): void {
  const at = list.findIndex(([have]) => have === type);
  if (data === null) {
    if (at >= 0) list.splice(at, 1);
  } else if (at >= 0) list[at] = [type, data];
  else list.push([type, data]);
}

export function handshake(type: number, body: Uint8Array): Uint8Array {
  return encode((out) => {
    out.u8(type);
    out.opaque(3, body);
  });
}

/** The client's first message. */
export function firstFlight(options: PairOptions = {}): Uint8Array {
  const p = pair(options);
  p.client.start(NOW);
  return p.c.sent[0]!.bytes;
}
