// The server's handshake, rfc8446#A.2.

import { GROUP, type GroupName, type SignatureName } from "../crypto/provider.ts";
import type { CipherSuite } from "../crypto/suites.ts";
import { bytesEqual } from "../protocol/bytes.ts";
import { APPLICATION, HANDSHAKE, INITIAL } from "../protocol/constants.ts";
import { chooseScheme } from "./certificate-verify.ts";
import {
  alpnExtension,
  checkSecondClientHello,
  decodeClientHello,
  describeClientHello,
  u16ListExtension,
  type ClientHello,
} from "./client-hello.ts";
import { alert } from "./codec.ts";
import { EXTENSION, type Extension } from "./extensions.ts";
import { signatureIds, TlsMachine, type Capabilities } from "./machine.ts";
import type { HandshakeMessage } from "./message-reader.ts";
import {
  decodeCertificate,
  encodeCertificate,
  encodeCertificateRequest,
  encodeEncryptedExtensions,
  encodeHelloRetryRequest,
  encodeServerHello,
  HANDSHAKE_TYPE,
} from "./messages.ts";
import type { Identity, TlsServerOptions, TlsSink } from "./types.ts";

/** What each state takes. */
const EXPECTED = {
  wait_client_hello: [HANDSHAKE_TYPE.client_hello],
  /** Our flight is not complete: an identity or a signature is to be provided. */
  sending: [],
  wait_certificate: [HANDSHAKE_TYPE.certificate],
  wait_certificate_verify: [HANDSHAKE_TYPE.certificate_verify],
  wait_finished: [HANDSHAKE_TYPE.finished],
  /** rfc9001#6 no KeyUpdate; clients have nothing else to say after the handshake. */
  connected: [],
} as const;

/** What CertificateRequest asks for, apart from the certificate: a client's entries may carry no extensions. */
const NOTHING: ReadonlySet<number> = new Set();

export class TlsServer extends TlsMachine {
  readonly #options: TlsServerOptions;
  #state: keyof typeof EXPECTED = "wait_client_hello";
  /** The first ClientHello, once it was answered by a HelloRetryRequest for `group`. */
  #retried: { readonly hello: ClientHello; readonly group: GroupName } | null = null;

  constructor(options: TlsServerOptions, sink: TlsSink) {
    super("server", options, sink);
    this.#options = options;
  }

  protected override expected(): readonly number[] {
    return EXPECTED[this.#state];
  }

  protected override handle(message: HandshakeMessage): void {
    switch (message.type) {
      case HANDSHAKE_TYPE.client_hello:
        return this.#onClientHello(message);
      case HANDSHAKE_TYPE.certificate:
        return this.#onCertificate(message);
      case HANDSHAKE_TYPE.certificate_verify:
        return this.takeCertificateVerify(message, () => {
          this.#state = "wait_finished";
        });
      case HANDSHAKE_TYPE.finished:
        this.takeFinished(message);
        this.reader.enter(APPLICATION);
        this.installApplication({ read: true, write: false });
        this.#state = "connected";
        this.finish();
    }
  }

  protected override release(): void {
    this.#retried = null;
  }

  #onClientHello(message: HandshakeMessage): void {
    const hello = decodeClientHello(message.body);
    const retried = this.#retried;
    if (retried !== null) checkSecondClientHello(retried.hello, hello, GROUP[retried.group]);
    // The same offer makes the same choice: suite and group are those of a HelloRetryRequest.
    const suite = chooseSuite(this.capabilities, hello, this.#options.honorCipherOrder ?? true);
    const protocol = chooseProtocol(this.capabilities, hello);
    const group = chooseGroup(this.capabilities, hello);
    this.transcript.add(message.raw);
    this.transcript.start(suite.hash);
    if (retried === null && !hello.keyShares.some((share) => share.group === GROUP[group])) {
      this.#retried = { hello, group };
      this.transcript.replaceByMessageHash();
      this.send(INITIAL, encodeHelloRetryRequest(suite.id, GROUP[group]));
      return;
    }
    this.#retried = null;
    this.suite = suite;
    this.group = group;
    this.alpn = protocol;
    this.serverName = hello.serverName;
    this.clientRandom = hello.random;
    this.#state = "sending";
    this.sink.peerTransportParameters(hello.transportParameters);

    const { identity } = this.#options;
    if (identity === "pending") {
      this.ask({ kind: "identity", clientHello: describeClientHello(hello) }, (answer) =>
        this.#answer(hello, answer as Identity | null),
      );
      return;
    }
    this.#answer(hello, typeof identity === "function" ? identity(describeClientHello(hello)) : identity);
  }

  /** ServerHello to CertificateVerify. */
  #answer(hello: ClientHello, identity: Identity | null): void {
    if (identity === null) {
      // rfc8446#6.2 unrecognized_name: when no server exists identified by the name provided by the client.
      throw hello.serverName === null
        ? alert("handshake_failure", "no certificate for a client that names no server")
        : alert("unrecognized_name", "no certificate for the name asked for");
    }
    // rfc8446#4.4.3 the signature algorithm MUST be one offered in the client's "signature_algorithms" extension.
    const scheme = chooseScheme(identity.key.schemes, hello.signatureSchemes);
    if (scheme === null) throw alert("handshake_failure", "no signature scheme in common with the client");
    // Nothing of the client's may follow its ClientHello at this level.
    this.reader.assertEmpty();

    const { provider, random, clientAuth } = this.#options;
    const suite = this.suite!;
    const group = this.group!;
    const theirs = hello.keyShares.find((share) => share.group === GROUP[group])!;
    const share = provider.respond(group, theirs.key, random);
    // rfc8446#4.2.8.2, rfc8446#7.4.2; tls-ecdhe-mlkem: abort with an illegal_parameter alert if it fails.
    if (share === null) throw alert("illegal_parameter", "the client's key share is invalid");
    const serverRandom = new Uint8Array(32);
    random(serverRandom);
    this.send(INITIAL, encodeServerHello(serverRandom, suite.id, GROUP[group], share.publicKey));
    this.startHandshakeSecrets(suite, share.secret);

    this.send(HANDSHAKE, encodeEncryptedExtensions(this.#encryptedExtensions(hello)));
    if (clientAuth !== "none") {
      const schemes = signatureIds(this.capabilities.signatures);
      this.send(
        HANDSHAKE,
        encodeCertificateRequest([u16ListExtension(EXTENSION.signature_algorithms, 2, schemes)]),
      );
    }
    this.#authenticate(identity, scheme);
  }

  #authenticate(identity: Identity, scheme: SignatureName): void {
    this.send(HANDSHAKE, encodeCertificate(identity.chain));
    this.sendCertificateVerify(identity, scheme, () => {
      this.sendFinished();
      this.startApplicationSecrets();
      // rfc9001#5.7 a server may send 1-RTT data now; it MUST NOT process the client's before the handshake is complete.
      this.installApplication({ read: false, write: true });
      this.#state = this.#options.clientAuth === "none" ? "wait_finished" : "wait_certificate";
    });
  }

  #encryptedExtensions(hello: ClientHello): Extension[] {
    const { transportParameters } = this.#options;
    const chosen = this.capabilities.alpn.find(({ name }) => name === this.alpn)!;
    const extensions = [
      alpnExtension([chosen.bytes]),
      {
        type: EXTENSION.quic_transport_parameters,
        data: typeof transportParameters === "function" ? transportParameters() : transportParameters,
      },
    ];
    // rfc6066#3 a server that uses the name SHALL include an extension of type "server_name", empty.
    if (hello.serverName !== null) {
      extensions.unshift({ type: EXTENSION.server_name, data: new Uint8Array(0) });
    }
    return extensions;
  }

  #onCertificate(message: HandshakeMessage): void {
    // rfc9001#4.4 A server MUST NOT use post-handshake client authentication (as defined in Section 4.6.2 of [TLS13])
    // because the multiplexing offered by QUIC prevents clients from …
    const chain = decodeCertificate(message.body, NOTHING);
    // rfc8446#4.4.2.4 the server MAY continue without client authentication or abort with "certificate_required".
    if (chain.length === 0 && this.#options.clientAuth === "require") {
      throw alert("certificate_required", "the client sent no certificate");
    }
    this.takeCertificate(message, chain);
    this.#state = chain.length === 0 ? "wait_finished" : "wait_certificate_verify";
  }
}

/** rfc8446#4.1.1 if the server is unable to negotiate a supported set of parameters: handshake_failure. */
function chooseSuite(ours: Capabilities, hello: ClientHello, ownOrder: boolean): CipherSuite {
  // rfc9001#5.3 An endpoint MUST NOT reject a ClientHello that offers a cipher suite that it does not support, or it
  // would be impossible to deploy a new cipher suite.
  const suite = ownOrder
    ? ours.suites.find(({ id }) => hello.suites.includes(id))
    : hello.suites.map((id) => ours.suites.find((own) => own.id === id)).find((own) => own !== undefined);
  if (suite === undefined) throw alert("handshake_failure", "no cipher suite in common with the client");
  return suite;
}

/** Our first group that has a share; else our first that the client supports, which costs a HelloRetryRequest. */
function chooseGroup(ours: Capabilities, hello: ClientHello): GroupName {
  const common = ours.groups.filter((name) => hello.groups.includes(GROUP[name]));
  const shared = common.find((name) => hello.keyShares.some(({ group }) => group === GROUP[name]));
  const group = shared ?? common[0];
  if (group === undefined) throw alert("handshake_failure", "no group in common with the client");
  return group;
}

/** rfc7301#3.2 it is expected that a server will have a list of protocols, in order of preference. */
function chooseProtocol(ours: Capabilities, hello: ClientHello): string {
  // rfc9001#8.1 Servers MUST select an application protocol compatible with the QUIC version that the client has
  // selected.
  // rfc9001#8.1 The server MUST treat the inability to select a compatible application protocol as a connection error
  // of type 0x0178 (no_application_protocol).
  const chosen = ours.alpn.find(({ bytes }) => hello.alpn.some((offered) => bytesEqual(offered, bytes)));
  // rfc7301#3.2 if the server supports no protocols that the client advertises: "no_application_protocol".
  if (chosen === undefined) throw alert("no_application_protocol", "no protocol in common with the client");
  return chosen.name;
}
