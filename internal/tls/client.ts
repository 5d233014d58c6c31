// The client's handshake, rfc8446#A.1.

import { GROUP, type KeyShare } from "../crypto/provider.ts";
import { bytesEqual } from "../protocol/bytes.ts";
import { APPLICATION, HANDSHAKE, INITIAL, PROTOCOL_VIOLATION } from "../protocol/constants.ts";
import { InvalidOptionError, TransportError } from "../protocol/errors.ts";
import { MAX_TICKETS_TAKEN, MAX_TICKET_LIFETIME } from "../protocol/limits.ts";
import { drawBytes } from "../protocol/random.ts";
import { chooseScheme } from "./certificate-verify.ts";
import {
  alpnExtension,
  cookieExtension,
  encodeClientHello,
  keyShareExtension,
  readAlpn,
  serverNameExtension,
  u16ListExtension,
} from "./client-hello.ts";
import { PskOffers, sessionIsUsable, type PskOffer } from "./client-psk.ts";
import { alert } from "./codec.ts";
import { EXTENSION, readExtension, type Extension, type Extensions } from "./extensions.ts";
import { resumptionPsk } from "./key-schedule.ts";
import { groupIds, signatureIds, TlsMachine, wipe } from "./machine.ts";
import type { HandshakeMessage } from "./message-reader.ts";
import {
  decodeCertificate,
  decodeCertificateRequest,
  decodeEncryptedExtensions,
  decodeNewSessionTicket,
  decodeServerHello,
  encodeCertificate,
  HANDSHAKE_TYPE,
  TLS13,
  type CertificateRequest,
  type ServerHello,
} from "./messages.ts";
import { statusRequestExtension } from "./ocsp.ts";
import { checkExternalPsk, checkPskModes, pskModesExtension, type PskMode } from "./psk.ts";
import type { TlsSession } from "./session.ts";
import type { TlsClientOptions, TlsSink } from "./types.ts";
import { parseIp } from "./x509/ip.ts";

/** What each state takes. */
const EXPECTED = {
  start: [],
  wait_server_hello: [HANDSHAKE_TYPE.server_hello],
  wait_encrypted_extensions: [HANDSHAKE_TYPE.encrypted_extensions],
  wait_certificate_or_request: [HANDSHAKE_TYPE.certificate, HANDSHAKE_TYPE.certificate_request],
  wait_certificate: [HANDSHAKE_TYPE.certificate],
  wait_certificate_verify: [HANDSHAKE_TYPE.certificate_verify],
  wait_finished: [HANDSHAKE_TYPE.finished],
  connected: [HANDSHAKE_TYPE.new_session_ticket],
} as const;

export class TlsClient extends TlsMachine {
  readonly #options: TlsClientOptions;
  #state: keyof typeof EXPECTED = "start";
  #shares: KeyShare[] = [];
  /** Extension types of our last ClientHello: what the server may answer. */
  #offered: ReadonlySet<number> = new Set();
  #retry: ServerHello | null = null;
  #request: CertificateRequest | null = null;
  #offers: PskOffers | null = null;
  readonly #pskModes: readonly PskMode[];
  /** The PSK the server took. */
  #psk: PskOffer | null = null;
  /** What tickets that come later are made from. */
  #resumptionMaster: Uint8Array | null = null;
  #tickets = 0;

  constructor(options: TlsClientOptions, sink: TlsSink) {
    super("client", options, sink);
    this.#options = options;
    const psk = options.psk ?? null;
    if (psk !== null) checkExternalPsk(psk);
    this.#pskModes = options.pskModes ?? ["psk_dhe_ke"];
    checkPskModes(this.#pskModes, psk !== null);
    this.serverName = options.serverName;
    if (options.serverName !== null && !/^[\x21-\x7e]{1,255}$/.test(options.serverName)) {
      throw new InvalidOptionError("serverName", "must be a host name in ASCII (A-labels) or an IP address");
    }
  }

  /** Sends the ClientHello. */
  start(wallNow: number): void {
    if (this.#state !== "start") return;
    this.guard(wallNow, () => {
      const { provider, random } = this.#options;
      const { groups } = this.capabilities;
      const count = this.#options.keyShares ?? (groups[0] === "X25519MLKEM768" ? 2 : 1);
      this.#shares = groups.slice(0, count).map((group) => provider.keyShare(group, random));
      this.clientRandom = drawBytes(random, 32);
      this.#state = "wait_server_hello";
      this.#offers = new PskOffers(provider, this.#usableSession(), this.#options.psk ?? null);
      const session = this.#offers.first?.session ?? null;
      if (this.#options.earlyData === true && session !== null && this.#allowsEarlyData(session)) {
        this.earlyData = "offered";
      }
      this.#sendClientHello();
      if (this.earlyData === "offered") this.#startEarlyData(session!);
    });
  }

  /** The session, where it can and may be resumed. */
  #usableSession(): TlsSession | null {
    const session = this.#options.session ?? null;
    const { suites } = this.capabilities;
    if (session === null || !this.#pskModes.includes("psk_dhe_ke")) return null;
    if (!sessionIsUsable(session, suites, this.serverName, this.wallNow)) return null;
    // A session without certificates goes back to an external PSK, which this client must have as well.
    if (session.chain.length === 0) return (this.#options.psk ?? null) === null ? null : session;
    // rfc8446#4.6.1 … and dates and trust may have changed since. A verifier that takes its time is asked when the
    // server has taken the session.
    const { verify } = this.#options;
    if (verify === "pending") return session;
    return verify(session.chain, this.serverName, this.wallNow).ok ? session : null;
  }

  /** rfc8446#4.2.10 the suite and the protocol of 0-RTT are the session's: both have to be on offer. */
  #allowsEarlyData(session: TlsSession): boolean {
    const { suites, alpn } = this.capabilities;
    return (
      session.earlyData &&
      suites.some(({ id }) => id === session.suite) &&
      alpn.some(({ name }) => name === session.alpn)
    );
  }

  #startEarlyData(session: TlsSession): void {
    const suite = this.capabilities.suites.find(({ id }) => id === session.suite)!;
    const { schedule } = this.#offers!.first!;
    const secret = schedule.earlyTraffic(this.transcript.digestWith(suite.hash, new Uint8Array(0)));
    this.installEarly(suite, secret, "write");
  }

  protected override expected(): readonly number[] {
    return EXPECTED[this.#state];
  }

  protected override unexpected(type: number): never {
    // rfc9001#4.4 clients MUST treat receipt of (post-handshake CertificateRequest) messages as PROTOCOL_VIOLATION.
    if (this.#state === "connected" && type === HANDSHAKE_TYPE.certificate_request) {
      throw new TransportError(PROTOCOL_VIOLATION, "CertificateRequest after the handshake", {
        frameType: 0x06,
      });
    }
    // rfc9001#6 endpoints MUST treat the receipt of a TLS KeyUpdate message as a connection error of type 0x010a.
    super.unexpected(type);
  }

  protected override handle(message: HandshakeMessage): void {
    switch (message.type) {
      case HANDSHAKE_TYPE.server_hello:
        return this.#onServerHello(message);
      case HANDSHAKE_TYPE.encrypted_extensions:
        return this.#onEncryptedExtensions(message);
      case HANDSHAKE_TYPE.certificate_request:
        this.#request = decodeCertificateRequest(message.body);
        this.transcript.add(message.raw);
        this.#state = "wait_certificate";
        return;
      case HANDSHAKE_TYPE.certificate:
        return this.#onCertificate(message);
      case HANDSHAKE_TYPE.certificate_verify:
        return this.takeCertificateVerify(message, () => {
          this.#state = "wait_finished";
        });
      case HANDSHAKE_TYPE.finished:
        return this.#onFinished(message);
      case HANDSHAKE_TYPE.new_session_ticket:
        this.#onTicket(message);
    }
  }

  protected override release(last: boolean): void {
    for (const share of this.#shares) share.dispose();
    this.#shares = [];
    this.#request = null;
    this.#retry = null;
    this.#offers?.dispose();
    this.#offers = null;
    if (!last) return;
    wipe(this.#resumptionMaster);
    this.#resumptionMaster = null;
  }

  #sendClientHello(): void {
    const extensions = this.#extensions();
    this.#offered = new Set(extensions.map(({ type }) => type));
    const suites = this.capabilities.suites.map((suite) => suite.id);
    const hello = encodeClientHello({ random: this.clientRandom, suites, extensions });
    this.#offers!.bind(hello, this.transcript);
    this.send(INITIAL, hello);
  }

  /** In wire order. rfc8446#4.2.11 The "pre_shared_key" extension MUST be the last extension in the ClientHello. */
  #extensions(): Extension[] {
    // rfc9001#4.2 Clients MUST NOT offer TLS versions older than 1.3.
    const { groups, signatures, alpn } = this.capabilities;
    const { serverName, transportParameters } = this.#options;
    const extensions: Extension[] = [];
    // rfc6066#3 literal IPv4 and IPv6 addresses are not permitted in "HostName"; nor is a trailing dot.
    if (serverName !== null && parseIp(serverName) === null) {
      const host = serverName.replace(/\.$/, "");
      if (host !== "") extensions.push(serverNameExtension(host));
    }
    extensions.push(
      u16ListExtension(EXTENSION.supported_groups, 2, groupIds(groups)),
      u16ListExtension(EXTENSION.signature_algorithms, 2, signatureIds(signatures)),
      alpnExtension(alpn.map(({ bytes }) => bytes)),
      u16ListExtension(EXTENSION.supported_versions, 1, [TLS13]),
      keyShareExtension(
        this.#shares.map(({ group, publicKey }) => ({ group: GROUP[group], key: publicKey })),
      ),
      { type: EXTENSION.quic_transport_parameters, data: transportParameters },
    );
    if (this.#options.statusRequest === true) extensions.push(statusRequestExtension());
    // rfc8446#4.2.2 the client MUST copy the contents of the extension received in the HelloRetryRequest.
    const cookie = this.#retry?.cookie ?? null;
    if (cookie !== null) extensions.push(cookieExtension(cookie));
    const offers = this.#offers!;
    // rfc8446#4.2.9 In order to use PSKs, clients MUST also send a "psk_key_exchange_modes" extension; and servers give
    // tickets to those who do.
    if (this.#options.tickets !== false || !offers.isEmpty)
      extensions.push(pskModesExtension(this.#pskModes));
    // rfc8446#4.2.10 A client MUST NOT include the "early_data" extension in its followup ClientHello.
    if (this.earlyData === "offered" && this.#retry === null) {
      extensions.push({ type: EXTENSION.early_data, data: new Uint8Array(0) });
    }
    if (!offers.isEmpty) extensions.push(offers.extension(this.wallNow));
    return extensions;
  }

  #onServerHello(message: HandshakeMessage): void {
    const hello = decodeServerHello(message.body, this.#offered);
    const suite = this.capabilities.suites.find(({ id }) => id === hello.suite);
    // rfc8446#4.1.3 a cipher suite that was not offered: MUST abort with an "illegal_parameter" alert.
    if (suite === undefined) throw alert("illegal_parameter", "the server chose a suite we did not offer");
    // rfc8446#4.1.4 clients MUST check that the cipher suite is the same as that in the HelloRetryRequest.
    if (this.#retry !== null && this.#retry.suite !== hello.suite) {
      throw alert("illegal_parameter", "the server changed the suite after its HelloRetryRequest");
    }
    this.transcript.start(suite.hash);
    if (hello.retry) return this.#onRetry(hello, message);

    const psk = hello.selectedPsk === null ? null : this.#offers!.take(hello.selectedPsk, suite);
    if (psk !== null) this.schedule = psk.schedule;
    this.#psk = psk;
    const shared = this.#agree(hello, psk);
    this.suite = suite;
    this.transcript.add(message.raw);
    for (const used of this.#shares) used.dispose();
    this.#shares = [];
    this.startHandshakeSecrets(suite, shared);
    const session = psk?.session ?? null;
    this.resumed = session !== null;
    if (session !== null) this.peerChain = session.chain;
    this.#state = "wait_encrypted_extensions";
  }

  /** The key agreement's result, null without one. */
  #agree(hello: ServerHello, psk: PskOffer | null): Uint8Array | null {
    if (hello.keyShare === null) {
      // rfc8446#9.2 "key_share" is REQUIRED for DHE or ECDHE key exchange.
      if (psk === null) throw alert("missing_extension", "ServerHello without key_share");
      // rfc8446#4.2.11 Clients MUST verify … that a server "key_share" extension is present if required by the
      // ClientHello "psk_key_exchange_modes" extension. No ticket is used without one.
      if (!this.#pskModes.includes("psk_ke") || psk.session !== null) {
        throw alert("illegal_parameter", "ServerHello with a PSK and without key_share");
      }
      return null;
    }
    if (psk !== null && !this.#pskModes.includes("psk_dhe_ke")) {
      throw alert("illegal_parameter", "ServerHello with a key share for a PSK that goes without");
    }
    const { group, key } = hello.keyShare;
    // rfc8446#4.2.8 this value MUST be in the same group as one of the client's shares.
    const share = this.#shares.find((candidate) => GROUP[candidate.group] === group);
    if (share === undefined) throw alert("illegal_parameter", "the server chose a group without a share");
    const shared = share.agree(key);
    // rfc8446#7.4.2, rfc8446#4.2.8.2 peers MUST validate each other's public key; an all-zero result MUST abort.
    if (shared === null) throw alert("illegal_parameter", "the server's key share is invalid");
    this.group = share.group;
    return shared;
  }

  #onRetry(retry: ServerHello, message: HandshakeMessage): void {
    // rfc8446#4.1.4 if a client receives a second HelloRetryRequest, it MUST abort with "unexpected_message".
    if (this.#retry !== null) throw alert("unexpected_message", "a second HelloRetryRequest");
    // rfc8446#4.1.4 "illegal_parameter" if the HelloRetryRequest would not result in any change in the ClientHello.
    if (retry.selectedGroup === null && retry.cookie === null) {
      throw alert("illegal_parameter", "HelloRetryRequest asks for no change");
    }
    if (retry.selectedGroup !== null) {
      // rfc8446#4.2.8 the client MUST verify that selected_group was in "supported_groups" and had no key share.
      const group = this.capabilities.groups.find((name) => GROUP[name] === retry.selectedGroup);
      if (group === undefined || this.#shares.some((share) => share.group === group)) {
        throw alert("illegal_parameter", "HelloRetryRequest selects a group that cannot be");
      }
      for (const share of this.#shares) share.dispose();
      this.#shares = [this.#options.provider.keyShare(group, this.#options.random)];
    }
    this.#retry = retry;
    this.transcript.replaceByMessageHash();
    this.transcript.add(message.raw);
    this.#offers!.keep(this.capabilities.suites.find(({ id }) => id === retry.suite)!);
    this.#sendClientHello();
    // rfc9001#4.6.2 A server will always reject 0-RTT if it sends a TLS HelloRetryRequest.
    if (this.earlyData === "offered") this.#onEarlyData(false);
  }

  #onEarlyData(accepted: boolean): void {
    this.earlyData = accepted ? "accepted" : "rejected";
    // rfc9001#8.3 Clients MUST NOT send the EndOfEarlyData message.
    this.sink.earlyData(accepted);
  }

  /** Whether EncryptedExtensions accept 0-RTT, and may. */
  #acceptsEarlyData(extensions: Extensions): boolean {
    if (readExtension(extensions, EXTENSION.early_data, "early_data", () => true) === null) return false;
    const session = this.#psk?.session ?? null;
    // rfc8446#4.2.11 If the server supplies an "early_data" extension, the client MUST verify that the server's
    // selected_identity is 0: the session, which is the first, was taken; and suite and protocol are its own.
    if (session === null || session.suite !== this.suite!.id || session.alpn !== this.alpn) {
      throw alert("illegal_parameter", "the server takes 0-RTT that does not fit what it negotiated");
    }
    return true;
  }

  #onEncryptedExtensions(message: HandshakeMessage): void {
    // rfc9001#8.1 Similarly, a client MUST treat the selection of an incompatible application protocol by a server as
    // a connection error of type 0x0178.
    const extensions = decodeEncryptedExtensions(message.body, this.#offered);
    // rfc6066#3 the "extension_data" field of this extension (in the answer) SHALL be empty.
    readExtension(extensions, EXTENSION.server_name, "server_name", () => null);
    const protocols = readExtension(
      extensions,
      EXTENSION.application_layer_protocol_negotiation,
      "ALPN",
      readAlpn,
    );
    // rfc9001#8.1 QUIC clients MUST use error 0x0178 to terminate a connection when ALPN negotiation fails.
    if (protocols === null) throw alert("no_application_protocol", "the server chose no protocol");
    // rfc7301#3.1 the "ProtocolNameList" MUST contain exactly one "ProtocolName".
    const chosen = this.capabilities.alpn.find(({ bytes }) => bytesEqual(bytes, protocols[0]!));
    if (protocols.length !== 1 || chosen === undefined) {
      throw alert("illegal_parameter", "the server chose a protocol we did not offer");
    }
    const parameters = extensions.get(EXTENSION.quic_transport_parameters);
    // rfc9001#8.2 EncryptedExtensions without the quic_transport_parameters extension: error of type 0x016d.
    if (parameters === undefined) {
      throw alert("missing_extension", "EncryptedExtensions without quic_transport_parameters");
    }
    this.alpn = chosen.name;
    this.transcript.add(message.raw);
    const accepted = this.#acceptsEarlyData(extensions);
    if (this.earlyData === "offered") this.#onEarlyData(accepted);
    this.#state = this.#psk === null ? "wait_certificate_or_request" : "wait_finished";
    this.sink.peerTransportParameters(parameters);
    // Not all was verified before the session was offered where the verifier takes its time.
    if (this.#options.verify === "pending" && this.peerChain.length > 0) this.verifyPeer(() => {});
  }

  #onCertificate(message: HandshakeMessage): void {
    // rfc9001#4.4 A client MUST authenticate the identity of the server.
    const { chain, ocspResponse } = decodeCertificate(message.body, this.#offered);
    // rfc8446#4.4.2.4 if the server supplies an empty Certificate message, MUST abort with a "decode_error" alert.
    if (chain.length === 0) throw alert("decode_error", "the server sent no certificate");
    this.ocspResponse = ocspResponse?.slice() ?? null;
    this.takeCertificate(message, chain);
    this.#state = "wait_certificate_verify";
  }

  #onFinished(message: HandshakeMessage): void {
    this.takeFinished(message);
    this.reader.assertEmpty();
    this.startApplicationSecrets();
    if (this.#request === null) return this.#complete();

    const identity = this.#options.identity ?? null;
    const scheme =
      identity === null ? null : chooseScheme(identity.key.schemes, this.#request.signatureSchemes);
    if (identity === null || scheme === null) {
      // rfc8446#4.4.2 if no suitable certificate is available, the client MUST send a Certificate message containing
      // no certificates.
      this.send(HANDSHAKE, encodeCertificate([]));
      return this.#complete();
    }
    this.localChain = identity.chain;
    this.send(HANDSHAKE, encodeCertificate(identity.chain));
    this.sendCertificateVerify(identity, scheme, () => this.#complete());
  }

  #complete(): void {
    this.sendFinished();
    if (this.#options.tickets !== false) {
      this.#resumptionMaster = this.schedule!.resumptionMaster(this.transcript.digest());
    }
    this.reader.enter(APPLICATION);
    this.installApplication({ read: true, write: true });
    this.#state = "connected";
    this.finish();
  }

  /** rfc8446#4.6.1 */
  #onTicket(message: HandshakeMessage): void {
    const { ticket, nonce, lifetime, ageAdd, earlyData } = decodeNewSessionTicket(message.body);
    const master = this.#resumptionMaster;
    // rfc8446#4.6.1 a lifetime of zero indicates that the ticket should be discarded immediately.
    if (master === null || lifetime === 0 || this.#tickets === MAX_TICKETS_TAKEN) return;
    this.#tickets++;
    this.sink.sessionTicket({
      suite: this.suite!.id,
      alpn: this.alpn!,
      serverName: this.serverName,
      secret: resumptionPsk(this.#options.provider, this.suite!, master, nonce),
      ticket,
      ageAdd,
      lifetime: Math.min(lifetime, MAX_TICKET_LIFETIME),
      received: this.wallNow,
      earlyData,
      chain: this.peerChain,
    });
  }
}
