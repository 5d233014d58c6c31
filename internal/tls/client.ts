// The client's handshake, rfc8446#A.1.

import { GROUP, type KeyShare } from "../crypto/provider.ts";
import { bytesEqual } from "../protocol/bytes.ts";
import { APPLICATION, HANDSHAKE, INITIAL, PROTOCOL_VIOLATION } from "../protocol/constants.ts";
import { InvalidOptionError, TransportError } from "../protocol/errors.ts";
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
import { alert } from "./codec.ts";
import { EXTENSION, readExtension, type Extension } from "./extensions.ts";
import { groupIds, signatureIds, TlsMachine } from "./machine.ts";
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

  constructor(options: TlsClientOptions, sink: TlsSink) {
    super("client", options, sink);
    this.#options = options;
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
      this.clientRandom = new Uint8Array(32);
      random(this.clientRandom);
      this.#state = "wait_server_hello";
      this.#sendClientHello();
    });
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
        this.sink.sessionTicket(decodeNewSessionTicket(message.body));
    }
  }

  protected override release(): void {
    for (const share of this.#shares) share.dispose();
    this.#shares = [];
    this.#request = null;
    this.#retry = null;
  }

  #sendClientHello(): void {
    const extensions = this.#extensions();
    this.#offered = new Set(extensions.map(({ type }) => type));
    const suites = this.capabilities.suites.map((suite) => suite.id);
    this.send(INITIAL, encodeClientHello({ random: this.clientRandom, suites, extensions }));
  }

  /** In wire order. rfc8446#4.2.11 a pre_shared_key would have to be the last. */
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
    // rfc8446#4.2.2 the client MUST copy the contents of the extension received in the HelloRetryRequest.
    const cookie = this.#retry?.cookie ?? null;
    if (cookie !== null) extensions.push(cookieExtension(cookie));
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

    // rfc8446#9.2 "key_share" is REQUIRED for DHE or ECDHE key exchange.
    if (hello.keyShare === null) throw alert("missing_extension", "ServerHello without key_share");
    const { group, key } = hello.keyShare;
    // rfc8446#4.2.8 this value MUST be in the same group as one of the client's shares.
    const share = this.#shares.find((candidate) => GROUP[candidate.group] === group);
    if (share === undefined) throw alert("illegal_parameter", "the server chose a group without a share");
    const shared = share.agree(key);
    // rfc8446#7.4.2, rfc8446#4.2.8.2 peers MUST validate each other's public key; an all-zero result MUST abort.
    if (shared === null) throw alert("illegal_parameter", "the server's key share is invalid");
    this.transcript.add(message.raw);
    this.suite = suite;
    this.group = share.group;
    for (const used of this.#shares) used.dispose();
    this.#shares = [];
    this.startHandshakeSecrets(suite, shared);
    this.#state = "wait_encrypted_extensions";
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
    this.#sendClientHello();
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
    this.#state = "wait_certificate_or_request";
    this.sink.peerTransportParameters(parameters);
  }

  #onCertificate(message: HandshakeMessage): void {
    // rfc9001#4.4 A client MUST authenticate the identity of the server.
    const chain = decodeCertificate(message.body, this.#offered);
    // rfc8446#4.4.2.4 if the server supplies an empty Certificate message, MUST abort with a "decode_error" alert.
    if (chain.length === 0) throw alert("decode_error", "the server sent no certificate");
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
    this.send(HANDSHAKE, encodeCertificate(identity.chain));
    this.sendCertificateVerify(identity, scheme, () => this.#complete());
  }

  #complete(): void {
    this.sendFinished();
    this.reader.enter(APPLICATION);
    this.installApplication({ read: true, write: true });
    this.#state = "connected";
    this.finish();
  }
}
