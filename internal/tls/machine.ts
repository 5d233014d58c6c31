// What the client and the server machine have in common: message intake, waiting for answers, secrets, verification.

import { GROUP, SIGNATURE, type GroupName, type SignatureName } from "../crypto/provider.ts";
import { SUITES, type CipherSuite } from "../crypto/suites.ts";
import { constantTimeEqual, utf8 } from "../protocol/bytes.ts";
import { APPLICATION, HANDSHAKE, ZERO_RTT, type Level, type Role } from "../protocol/constants.ts";
import { InvalidOptionError, QuicError, TlsAlertError, TransportError } from "../protocol/errors.ts";
import { certificateVerifyContent, checkCertificateVerify } from "./certificate-verify.ts";
import { alert } from "./codec.ts";
import type { EarlyDataRefusal } from "./early-data.ts";
import { KeySchedule, type Exporter, type TrafficSecrets } from "./key-schedule.ts";
import { leafKey } from "./leaf-key.ts";
import { MessageReader, type HandshakeMessage } from "./message-reader.ts";
import {
  decodeCertificateVerify,
  decodeFinished,
  encodeCertificateVerify,
  encodeFinished,
  handshakeTypeName,
} from "./messages.ts";
import { exportFrom, TlsOutcome, type TlsResult } from "./outcome.ts";
import { MAX_KNOWN_CHOICES } from "../protocol/limits.ts";
import { Transcript } from "./transcript.ts";
import type {
  Identity,
  PendingAnswer,
  PendingRequest,
  TlsClientOptions,
  TlsOptions,
  TlsServerOptions,
  TlsSink,
  VerifyResult,
} from "./types.ts";

type Unnumbered<T> = T extends PendingRequest ? Omit<T, "id"> : never;

/** The parameters both sides negotiate from: options with their defaults, as code points where the wire wants them. */
export interface Capabilities {
  readonly suites: readonly CipherSuite[];
  readonly groups: readonly GroupName[];
  readonly signatures: readonly SignatureName[];
  readonly alpn: readonly { readonly name: string; readonly bytes: Uint8Array }[];
}

type Choices = Pick<TlsOptions, "provider" | "suites" | "groups" | "signatures" | "alpn">;

/** What was worked out lately: endpoints ask for the same all their lives. */
const known: { readonly of: Choices; readonly is: Capabilities }[] = [];

export function capabilities(options: Choices): Capabilities {
  for (const each of known) if (sameChoices(each.of, options)) return each.is;
  const is = workOut(options);
  const { provider, suites, groups, signatures, alpn } = options;
  // Copies: the lists may be the application's, to change as it likes.
  const of = {
    provider,
    suites: suites?.slice(),
    groups: groups?.slice(),
    signatures: signatures?.slice(),
    alpn: alpn.slice(),
  };
  if (known.length === MAX_KNOWN_CHOICES) known.shift();
  known.push({ of, is });
  return is;
}

function sameChoices(a: Choices, b: Choices): boolean {
  return (
    a.provider === b.provider &&
    sameList(a.alpn, b.alpn) &&
    sameList(a.suites, b.suites) &&
    sameList(a.groups, b.groups) &&
    sameList(a.signatures, b.signatures)
  );
}

function sameList(a: readonly unknown[] | undefined, b: readonly unknown[] | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((each, i) => each === b[i]);
}

function workOut(options: Choices): Capabilities {
  const { provider } = options;
  const suites = (options.suites ?? SUITES).filter((suite) => provider.aeads.includes(suite.aead));
  const groups = (options.groups ?? provider.groups).filter((group) => provider.groups.includes(group));
  const signatures = (options.signatures ?? provider.signatures).filter((name) =>
    provider.signatures.includes(name),
  );
  if (suites.length === 0) throw new InvalidOptionError("suites", "none that the crypto provider can do");
  if (groups.length === 0) throw new InvalidOptionError("groups", "none that the crypto provider can do");
  if (signatures.length === 0)
    throw new InvalidOptionError("signatures", "none that the crypto provider can do");
  const alpn = options.alpn.map((name) => ({ name, bytes: utf8(name) }));
  // rfc9001#8.1 endpoints MUST use ALPN.
  if (alpn.length === 0) throw new InvalidOptionError("alpn", "QUIC needs at least one protocol");
  if (alpn.some(({ bytes }) => bytes.length === 0 || bytes.length > 255)) {
    throw new InvalidOptionError("alpn", "a protocol name has 1 to 255 bytes");
  }
  return { suites, groups, signatures, alpn };
}

export function groupIds(groups: readonly GroupName[]): number[] {
  return groups.map((name) => GROUP[name]);
}

export function signatureIds(names: readonly SignatureName[]): number[] {
  return names.map((name) => SIGNATURE[name]);
}

/** Zeroes secrets that are no longer needed. */
export function wipe(...secrets: (Uint8Array | null | undefined)[]): void {
  for (const secret of secrets) secret?.fill(0);
}

export abstract class TlsMachine implements TlsResult {
  /** Both Finished messages are through: the peer is who it says, and the parameters are what it sent. */
  complete = false;
  /** What was negotiated; null until then. */
  alpn: string | null = null;
  suite: CipherSuite | null = null;
  group: GroupName | null = null;
  /** DER, leaf first; empty where the peer has not authenticated. */
  peerChain: readonly Uint8Array[] = [];
  ocspResponse: Uint8Array | null = null;
  localChain: readonly Uint8Array[] = [];
  /** Why the peer's chain is not trusted, where the application said to go on regardless. */
  peerVerifyError: string | null = null;
  /** A session goes on: by its ticket, not by certificates sent now. */
  resumed = false;
  /** What became of 0-RTT. */
  earlyData: "none" | "offered" | "accepted" | "rejected" = "none";
  /** Server: why it refused 0-RTT that the client wished for. */
  earlyDataRefusal: EarlyDataRefusal | null = null;
  /** What the application had remembered with the session that is resumed. */
  applicationData: Uint8Array | null = null;
  /** The name the client asked for (SNI at a server, the name verified at a client). */
  serverName: string | null = null;

  protected readonly sink: TlsSink;
  protected capabilities: Capabilities;
  protected readonly reader = new MessageReader();
  protected readonly transcript: Transcript;
  protected schedule: KeySchedule | null = null;
  protected handshakeSecrets: TrafficSecrets | null = null;
  protected applicationSecrets: TrafficSecrets | null = null;
  protected clientRandom: Uint8Array = new Uint8Array(0);
  protected wallNow = 0;

  readonly #role: Role;
  #options: TlsClientOptions | TlsServerOptions;
  #exporter: Exporter | null = null;
  #peerKey: Uint8Array | null = null;
  #waiting: { readonly id: number; readonly resume: (answer: PendingAnswer) => void } | null = null;
  #nextRequest = 1;
  #failure: unknown = null;
  #disposed = false;

  constructor(role: Role, options: TlsClientOptions | TlsServerOptions, sink: TlsSink) {
    this.#role = role;
    this.#options = options;
    this.sink = sink;
    this.capabilities = capabilities(options);
    this.transcript = new Transcript(options.provider);
  }

  /** Goes on with other options, from where nothing was chosen yet. */
  protected reconsider(options: TlsServerOptions): void {
    this.capabilities = capabilities(options);
    this.#options = options;
  }

  // rfc9001#6 Endpoints MUST NOT send a TLS KeyUpdate message.
  /** Message types this state takes. */
  protected abstract expected(): readonly number[];
  protected abstract handle(message: HandshakeMessage): void;
  /**
   * Drop what only the handshake needs: called when it is complete, and, as `last`, when all is over: it has failed or
   * is disposed of.
   */
  protected abstract release(last: boolean): void;

  /**
   * In-order CRYPTO bytes of `level`. Throws TlsAlertError or TransportError; after that the machine only repeats the
   * error.
   */
  receive(level: Level, bytes: Uint8Array, wallNow: number): void {
    if (this.#disposed) return;
    if (this.#failure !== null) throw this.#failure;
    this.guard(wallNow, () => {
      this.reader.append(level, bytes);
      this.#process();
    });
  }

  /** Whether an answer to this request is still awaited. */
  waitsFor(id: number): boolean {
    return this.#waiting?.id === id;
  }

  /**
   * Answers the request that the machine waits for. An answer that comes after the handshake failed or the connection
   * ended is dropped.
   */
  provide(id: number, answer: PendingAnswer, wallNow: number): void {
    if (this.#disposed || this.#failure !== null) return;
    const waiting = this.#waiting;
    if (waiting === null || waiting.id !== id) {
      throw new QuicError("ERR_QUIC_INVALID_STATE", `TLS does not wait for an answer to request ${id}`);
    }
    this.#waiting = null;
    this.guard(wallNow, () => {
      if (answer instanceof TransportError) throw answer;
      waiting.resume(answer);
      this.#process();
    });
  }

  /** TLS-Exporter, rfc8446#7.5. Only once the handshake is complete. */
  exportKeyingMaterial(label: string, context: Uint8Array, length: number): Uint8Array {
    return exportFrom(this.complete ? this.#exporter : null, label, context, length);
  }

  /** What stays when nothing more can come. The machine is forgotten after it, not disposed of. */
  outcome(): TlsOutcome {
    return new TlsOutcome(this, this.#exporter);
  }

  /** Zeroes all secrets. Everything after is ignored. Idempotent. */
  dispose(): void {
    // rfc9001#4.8 As QUIC provides alternative mechanisms for connection termination and the TLS connection is only
    // closed if an error is encountered, a QUIC endpoint MUST treat any …
    if (this.#disposed) return;
    this.#disposed = true;
    this.#wipeAll();
  }

  /** Runs a step; whatever it throws is final. What is not a QuicError comes from a callback (or is a bug of ours). */
  protected guard(wallNow: number, step: () => void): void {
    this.wallNow = wallNow;
    try {
      step();
    } catch (error) {
      this.#failure =
        error instanceof QuicError
          ? error
          : new TlsAlertError("internal_error", "the TLS handshake failed on this side", { cause: error });
      this.#wipeAll();
      throw this.#failure;
    }
  }

  /** Stops until `provide`; `resume` goes on with the answer. */
  protected ask(request: Unnumbered<PendingRequest>, resume: (answer: PendingAnswer) => void): void {
    const id = this.#nextRequest++;
    this.#waiting = { id, resume };
    this.sink.pending({ ...request, id });
  }

  /** Sends a message and adds it to the transcript. */
  protected send(level: Level, message: Uint8Array): void {
    this.transcript.add(message);
    this.sink.sendCrypto(level, message);
  }

  /** Keys for 0-RTT, which one direction has. Zeroes `secret`. */
  protected installEarly(suite: CipherSuite, secret: Uint8Array, direction: "read" | "write"): void {
    this.#log("CLIENT_EARLY_TRAFFIC_SECRET", secret);
    const [read, write] = direction === "read" ? [secret, null] : [null, secret];
    this.sink.installSecrets(ZERO_RTT, suite, read, write);
    wipe(secret);
  }

  /**
   * The handshake secrets, from the key agreement's result (null: there was none) and the PSK, where the schedule has
   * begun with one. The transcript stands at ServerHello.
   */
  protected startHandshakeSecrets(suite: CipherSuite, shared: Uint8Array | null): void {
    this.schedule ??= new KeySchedule(this.#options.provider, suite);
    this.schedule.enterHandshake(shared);
    const secrets = this.schedule.handshakeTraffic(this.transcript.digest());
    this.handshakeSecrets = secrets;
    this.#log("CLIENT_HANDSHAKE_TRAFFIC_SECRET", secrets.client);
    this.#log("SERVER_HANDSHAKE_TRAFFIC_SECRET", secrets.server);
    this.reader.enter(HANDSHAKE);
    const [read, write] = this.#directions(secrets);
    this.sink.installSecrets(HANDSHAKE, suite, read, write);
  }

  /** The application secrets. The transcript stands at the server's Finished. */
  protected startApplicationSecrets(): void {
    const schedule = this.schedule!;
    schedule.enterMaster();
    const hash = this.transcript.digest();
    const secrets = schedule.applicationTraffic(hash);
    this.applicationSecrets = secrets;
    this.#exporter = schedule.exporter(hash);
    this.#log("CLIENT_TRAFFIC_SECRET_0", secrets.client);
    this.#log("SERVER_TRAFFIC_SECRET_0", secrets.server);
    this.#log("EXPORTER_SECRET", this.#exporter.master);
  }

  /** Hands over the application secrets of the directions named, and zeroes those. */
  protected installApplication(directions: { read: boolean; write: boolean }): void {
    const [read, write] = this.#directions(this.applicationSecrets!);
    this.sink.installSecrets(
      APPLICATION,
      this.suite!,
      directions.read ? read : null,
      directions.write ? write : null,
    );
    if (directions.read) wipe(read);
    if (directions.write) wipe(write);
  }

  /** Sends our Finished. */
  protected sendFinished(): void {
    const base = this.#role === "client" ? this.handshakeSecrets!.client : this.handshakeSecrets!.server;
    this.send(HANDSHAKE, encodeFinished(this.schedule!.finished(base, this.transcript.digest())));
  }

  /** Checks the peer's Finished and adds it to the transcript. */
  protected takeFinished(message: HandshakeMessage): void {
    const base = this.#role === "client" ? this.handshakeSecrets!.server : this.handshakeSecrets!.client;
    const verifyData = decodeFinished(message.body, this.suite!.hashLength);
    const expected = this.schedule!.finished(base, this.transcript.digest());
    // rfc8446#4.4.4 recipients of Finished messages MUST verify that the contents are correct and if incorrect MUST
    // terminate the connection with a "decrypt_error" alert.
    if (!constantTimeEqual(verifyData, expected)) throw alert("decrypt_error", "Finished does not verify");
    this.transcript.add(message.raw);
  }

  /** The peer's chain came; its leaf's key will be needed. */
  protected takeCertificate(message: HandshakeMessage, chain: readonly Uint8Array[]): void {
    this.peerChain = chain;
    this.#peerKey = chain.length === 0 ? null : leafKey(chain[0]!);
    this.transcript.add(message.raw);
  }

  /** Checks the peer's CertificateVerify, then has its chain verified, then calls `then`. */
  protected takeCertificateVerify(message: HandshakeMessage, then: () => void): void {
    const { provider } = this.#options;
    checkCertificateVerify(
      provider,
      decodeCertificateVerify(message.body),
      this.#peerKey!,
      this.#role === "client" ? "server" : "client",
      this.transcript.digest(),
      this.capabilities.signatures,
    );
    this.transcript.add(message.raw);
    this.verifyPeer(then);
  }

  /** Has the peer's chain verified, then calls `then`. */
  protected verifyPeer(then: () => void): void {
    const { verify } = this.#options;
    // What the peer must be called is known to clients only: a client's certificate is not for the server's name.
    const name = this.#role === "client" ? this.serverName : null;
    const judge = (result: VerifyResult): void => {
      if (!result.ok) {
        const { certificateReason } = result;
        throw new TlsAlertError(result.alert, result.reason, { certificateReason });
      }
      this.peerVerifyError = result.authorizationError ?? null;
      then();
    };
    if (verify !== "pending") return judge(verify(this.peerChain, name, this.wallNow));
    const { peerChain: chain, ocspResponse } = this;
    this.ask({ kind: "verify", chain, ocspResponse, serverName: name, role: this.#role }, (answer) =>
      judge(answer as VerifyResult),
    );
  }

  /** Signs the transcript as it stands, sends CertificateVerify, then calls `then`. */
  protected sendCertificateVerify(identity: Identity, scheme: SignatureName, then: () => void): void {
    const data = certificateVerifyContent(this.#role, this.transcript.digest());
    const finish = (signature: Uint8Array): void => {
      this.send(HANDSHAKE, encodeCertificateVerify(SIGNATURE[scheme], signature));
      then();
    };
    const { key } = identity;
    if (!("remote" in key)) return finish(key.sign(scheme, data));
    this.ask({ kind: "sign", scheme, data, identity }, (answer) => {
      if (!(answer instanceof Uint8Array)) throw alert("internal_error", "the remote key did not sign");
      finish(answer);
    });
  }

  /** Both sides have finished. */
  protected finish(): void {
    this.complete = true;
    this.#wipeHandshake(false);
    this.sink.handshakeComplete();
  }

  #process(): void {
    while (this.#waiting === null && !this.#disposed) {
      const message = this.reader.next((type) => this.#expect(type));
      if (message === null) return;
      this.handle(message);
    }
  }

  /** rfc8446#4 a peer which receives a handshake message in an unexpected order MUST abort with "unexpected_message". */
  #expect(type: number): void {
    if (this.expected().includes(type)) return;
    this.unexpected(type);
  }

  /** Throws what a message that has no place here means. */
  protected unexpected(type: number): never {
    throw alert("unexpected_message", `${handshakeTypeName(type)} has no place here`);
  }

  /** [what we read with, what we write with]. */
  #directions(secrets: TrafficSecrets): [read: Uint8Array, write: Uint8Array] {
    return this.#role === "client" ? [secrets.server, secrets.client] : [secrets.client, secrets.server];
  }

  #log(label: string, secret: Uint8Array): void {
    if (this.#options.keyLog) this.sink.keyLog(label, this.clientRandom, secret);
  }

  #wipeHandshake(last: boolean): void {
    wipe(this.handshakeSecrets?.client, this.handshakeSecrets?.server);
    wipe(this.applicationSecrets?.client, this.applicationSecrets?.server);
    this.handshakeSecrets = null;
    this.applicationSecrets = null;
    this.schedule?.dispose();
    this.release(last);
  }

  #wipeAll(): void {
    this.#waiting = null;
    this.#wipeHandshake(true);
    this.#exporter?.dispose();
    this.#exporter = null;
    this.reader.clear();
  }
}
