// The server's handshake, rfc8446#A.2.

import { GROUP, type GroupName, type SignatureName } from "../crypto/provider.ts";
import type { CipherSuite } from "../crypto/suites.ts";
import { bytesEqual } from "../protocol/bytes.ts";
import { APPLICATION, HANDSHAKE, INITIAL } from "../protocol/constants.ts";
import { MAX_TICKET_LIFETIME } from "../protocol/limits.ts";
import { TlsAlertError } from "../protocol/errors.ts";
import { drawBytes } from "../protocol/random.ts";
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
import { earlyDataUse, refuseEarlyData, type EarlyDataRefusal } from "./early-data.ts";
import { EXTENSION, type Extension } from "./extensions.ts";
import { resumptionPsk } from "./key-schedule.ts";
import { signatureIds, TlsMachine, wipe, type Capabilities } from "./machine.ts";
import type { HandshakeMessage } from "./message-reader.ts";
import {
  decodeCertificate,
  encodeCertificate,
  encodeCertificateRequest,
  encodeEncryptedExtensions,
  encodeHelloRetryRequest,
  encodeNewSessionTicket,
  encodeServerHello,
  HANDSHAKE_TYPE,
} from "./messages.ts";
import { checkPskModes, selectedPskExtension } from "./psk.ts";
import { bindPsk, PskSelection, type PskChoice, type SelectedPsk } from "./server-psk.ts";
import type { EarlyDataVerdict, Identity, ServerChoices, TlsServerOptions, TlsSink } from "./types.ts";

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

/** What the server authenticates with. */
interface Credentials {
  readonly identity: Identity;
  readonly scheme: SignatureName;
  readonly ocspResponse: Uint8Array | null;
}

export class TlsServer extends TlsMachine {
  #options: TlsServerOptions;
  #state: keyof typeof EXPECTED = "wait_client_hello";
  /** The first ClientHello, once it was answered by a HelloRetryRequest for `group` and `suite`. */
  #retried: { readonly hello: ClientHello; readonly group: GroupName; readonly suite: CipherSuite } | null =
    null;
  #psk: SelectedPsk | null = null;
  /** The client takes tickets. */
  #ticketsWanted = false;

  constructor(options: TlsServerOptions, sink: TlsSink) {
    super("server", options, sink);
    this.#options = options;
    if (options.pskModes !== undefined) checkPskModes(options.pskModes, (options.psk ?? null) !== null);
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
        return this.#onFinished(message);
    }
  }

  protected override release(): void {
    this.#retried = null;
    wipe(this.#psk?.key);
    this.#psk = null;
  }

  #onClientHello(message: HandshakeMessage): void {
    const hello = decodeClientHello(message.body);
    const retried = this.#retried;
    if (retried !== null) {
      checkSecondClientHello(retried.hello, hello, GROUP[retried.group]);
      return this.#select(hello, message);
    }
    if (this.#options.clientHello !== "pending") return this.#select(hello, message);
    this.ask({ kind: "client_hello", clientHello: describeClientHello(hello) }, (answer) => {
      if (answer !== null) this.#choose(answer as ServerChoices);
      this.#select(hello, message);
    });
  }

  #choose(choices: ServerChoices): void {
    const options = { ...this.#options, ...choices };
    try {
      this.reconsider(options);
    } catch (cause) {
      throw new TlsAlertError("internal_error", "what was chosen for this client cannot be", { cause });
    }
    this.#options = options;
  }

  #select(hello: ClientHello, message: HandshakeMessage): void {
    const retried = this.#retried;
    // rfc8446#4.1.4 the suite is that of the HelloRetryRequest.
    const suites =
      retried === null
        ? commonSuites(this.capabilities, hello, this.#options.honorCipherOrder ?? true)
        : [retried.suite];
    const protocol = chooseProtocol(this.capabilities, hello);
    const host = {
      options: this.#options,
      wallNow: this.wallNow,
      ask: this.ask.bind(this),
    };
    new PskSelection(host, hello, suites, (choice) =>
      this.#negotiate(hello, message, protocol, choice),
    ).start();
  }

  #negotiate(
    hello: ClientHello,
    message: HandshakeMessage,
    protocol: string,
    { suite, psk }: PskChoice,
  ): void {
    const retried = this.#retried;
    const group = psk?.mode === "psk_ke" ? null : chooseGroup(this.capabilities, hello);
    this.transcript.start(suite.hash);
    // rfc9369#4.1 The server MUST send all CRYPTO frames using the negotiated version: a HelloRetryRequest too, so that
    // the parameters that decide about it count from the first ClientHello (the second repeats them).
    if (retried === null) this.sink.peerTransportParameters(hello.transportParameters);
    const shared = group === null || hello.keyShares.some((share) => share.group === GROUP[group]);
    if (retried === null && !shared) {
      this.#retried = { hello, group, suite };
      this.transcript.add(message.raw);
      this.transcript.replaceByMessageHash();
      this.send(INITIAL, encodeHelloRetryRequest(suite.id, GROUP[group]));
      wipe(psk?.key);
      return;
    }
    if (psk !== null) {
      this.schedule = bindPsk(this.#options, suite, psk, hello, this.transcript, message.raw);
      this.#psk = psk;
      this.resumed = psk.ticket !== null;
      this.peerChain = psk.ticket?.chain ?? [];
      this.peerVerifyError = psk.verifyError;
      this.applicationData = psk.ticket?.applicationData ?? null;
    }
    this.transcript.add(message.raw);
    this.#retried = null;
    this.suite = suite;
    this.group = group;
    this.alpn = protocol;
    this.serverName = hello.serverName;
    this.clientRandom = hello.random;
    this.#ticketsWanted = hello.pskModes.includes("psk_dhe_ke");
    this.#state = "sending";
    // rfc8446#4.2.10 a server which receives an "early_data" extension MUST behave in one of three ways: take it, or
    // here as if it were not there; the retry is above.
    if (!hello.earlyData && retried?.hello.earlyData !== true) return this.#identify(hello);
    this.#decideEarlyData(hello, retried !== null, (refusal) => {
      this.earlyDataRefusal = refusal;
      this.earlyData = refusal === null ? "accepted" : "rejected";
      this.sink.earlyData(refusal === null);
      if (refusal === null) {
        const secret = this.schedule!.earlyTraffic(this.transcript.digest());
        this.installEarly(suite, secret, "read");
      }
      this.#identify(hello);
    });
  }

  #decideEarlyData(
    hello: ClientHello,
    retried: boolean,
    then: (refusal: EarlyDataRefusal | null) => void,
  ): void {
    const { earlyData, provider } = this.#options;
    const refusal = refuseEarlyData(earlyData, this.#psk, this.suite!, this.alpn!, retried);
    if (refusal !== null) return then(refusal);
    const use = earlyDataUse(provider, hello.psks!.identities[0]!.identity, this.wallNow);
    const { replay } = earlyData!;
    if (replay !== "pending") return then(replay(use) ? null : "replay");
    this.ask({ kind: "early_data", ...use }, (answer) =>
      then((answer as EarlyDataVerdict | null)?.allowed === true ? null : "replay"),
    );
  }

  /** Who we are: nothing to say for whom a PSK has told it. */
  #identify(hello: ClientHello): void {
    if (this.#psk !== null) return this.#answer(hello, null);
    const choose = (identity: Identity | null): void => {
      if (identity === null) {
        // rfc8446#6.2 unrecognized_name: when no server exists identified by the name provided by the client.
        throw hello.serverName === null
          ? alert("handshake_failure", "no certificate for a client that names no server")
          : alert("unrecognized_name", "no certificate for the name asked for");
      }
      // rfc8446#9.2 without PSK it MUST contain "signature_algorithms".
      if (hello.signatureSchemes.length === 0) {
        throw alert(
          "missing_extension",
          "ClientHello without signature_algorithms, and its PSKs are unknown",
        );
      }
      // rfc8446#4.4.3 the signature algorithm MUST be one offered in the client's "signature_algorithms" extension.
      const scheme = chooseScheme(identity.key.schemes, hello.signatureSchemes);
      if (scheme === null) throw alert("handshake_failure", "no signature scheme in common with the client");
      this.#staple(identity, hello, (ocspResponse) =>
        this.#answer(hello, { identity, scheme, ocspResponse }),
      );
    };
    const { identity } = this.#options;
    const info = describeClientHello(hello);
    const chosen = typeof identity === "function" ? identity(info) : identity;
    if (chosen !== "pending") return choose(chosen);
    this.ask({ kind: "identity", clientHello: info }, (answer) => choose(answer as Identity | null));
  }

  /** rfc6066#8 Servers that receive "status_request" MAY return a suitable certificate status response. */
  #staple(identity: Identity, hello: ClientHello, then: (response: Uint8Array | null) => void): void {
    const response = identity.ocspResponse ?? null;
    if (!hello.statusRequest) return then(null);
    if (response !== null || this.#options.ocsp !== "pending") return then(response);
    this.ask({ kind: "ocsp", identity }, (answer) => then(answer as Uint8Array | null));
  }

  /** ServerHello to Finished. */
  #answer(hello: ClientHello, credentials: Credentials | null): void {
    // Nothing of the client's may follow its ClientHello at this level.
    this.reader.assertEmpty();

    const { random, clientAuth } = this.#options;
    const suite = this.suite!;
    const share = this.group === null ? null : this.#agree(this.group, hello);
    const serverRandom = drawBytes(random, 32);
    const psk = this.#psk === null ? null : selectedPskExtension(this.#psk.index);
    this.send(INITIAL, encodeServerHello(serverRandom, suite.id, share, psk));
    this.startHandshakeSecrets(suite, share?.secret ?? null);

    this.send(HANDSHAKE, encodeEncryptedExtensions(this.#encryptedExtensions(hello)));
    // rfc8446#4.3.2 Servers which are authenticating with a PSK MUST NOT send the CertificateRequest message in the main
    // handshake.
    if (credentials === null) return this.#finishFlight("wait_finished");
    if (clientAuth !== "none") {
      const schemes = signatureIds(this.capabilities.signatures);
      this.send(
        HANDSHAKE,
        encodeCertificateRequest([u16ListExtension(EXTENSION.signature_algorithms, 2, schemes)]),
      );
    }
    this.localChain = credentials.identity.chain;
    this.send(HANDSHAKE, encodeCertificate(this.localChain, credentials.ocspResponse));
    this.sendCertificateVerify(credentials.identity, credentials.scheme, () =>
      this.#finishFlight(clientAuth === "none" ? "wait_finished" : "wait_certificate"),
    );
  }

  #agree(group: GroupName, hello: ClientHello): { group: number; key: Uint8Array; secret: Uint8Array } {
    const { provider, random } = this.#options;
    const theirs = hello.keyShares.find((share) => share.group === GROUP[group])!;
    const share = provider.respond(group, theirs.key, random);
    // rfc8446#4.2.8.2, rfc8446#7.4.2; tls-ecdhe-mlkem: abort with an illegal_parameter alert if it fails.
    if (share === null) throw alert("illegal_parameter", "the client's key share is invalid");
    return { group: GROUP[group], key: share.publicKey, secret: share.secret };
  }

  #finishFlight(next: "wait_finished" | "wait_certificate"): void {
    this.sendFinished();
    this.startApplicationSecrets();
    // rfc9001#5.7 a server may send 1-RTT data now; it MUST NOT process the client's before the handshake is complete.
    this.installApplication({ read: false, write: true });
    this.#state = next;
  }

  #onFinished(message: HandshakeMessage): void {
    this.takeFinished(message);
    this.reader.enter(APPLICATION);
    this.installApplication({ read: true, write: false });
    this.#state = "connected";
    this.#sendTickets();
    this.finish();
  }

  /** rfc8446#4.6.1 at any time after the client's Finished: at once here, all of them. */
  #sendTickets(): void {
    const { provider, tickets, earlyData, random } = this.#options;
    // rfc8446#4.2.9 Servers SHOULD NOT send NewSessionTicket with tickets that are not compatible with the modes.
    if (tickets === null || tickets === undefined || !this.#ticketsWanted) return;
    const master = this.schedule!.resumptionMaster(this.transcript.digest());
    const count = this.resumed ? Math.min(1, tickets.count) : tickets.count;
    // rfc8446#4.6.1 Servers MUST NOT use any value greater than 604800 seconds (7 days).
    const lifetime = Math.min(tickets.lifetime, MAX_TICKET_LIFETIME);
    for (let i = 0; i < count; i++) {
      const nonce = Uint8Array.of(i);
      const secret = resumptionPsk(provider, this.suite!, master, nonce);
      // rfc8446#4.6.1 The server MUST generate a fresh value for each ticket it sends.
      const ageAdd = new DataView(drawBytes(random, 4).buffer).getUint32(0);
      const state = {
        quicVersion: tickets.quicVersion(),
        suite: this.suite!.id,
        alpn: this.alpn!,
        serverName: this.serverName,
        secret,
        ageAdd,
        created: this.wallNow,
        lifetime,
        remembered: earlyData?.remember() ?? null,
        applicationData: tickets.applicationData,
        chain: this.peerChain,
      };
      const ticket = tickets.keys.seal(state, tickets.context, this.wallNow);
      wipe(secret);
      if (ticket === null) break;
      // Not part of the transcript any more.
      const offer = { lifetime, ageAdd, nonce, ticket, earlyData: state.remembered !== null };
      this.sink.sendCrypto(APPLICATION, encodeNewSessionTicket(offer));
    }
    wipe(master);
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
    // … but rfc6066#3 when resuming a session, the server MUST NOT include a server_name extension.
    if (hello.serverName !== null && !this.resumed) {
      extensions.unshift({ type: EXTENSION.server_name, data: new Uint8Array(0) });
    }
    if (this.earlyData === "accepted")
      extensions.push({ type: EXTENSION.early_data, data: new Uint8Array(0) });
    return extensions;
  }

  #onCertificate(message: HandshakeMessage): void {
    // rfc9001#4.4 A server MUST NOT use post-handshake client authentication (as defined in Section 4.6.2 of [TLS13])
    // because the multiplexing offered by QUIC prevents clients from …
    const { chain } = decodeCertificate(message.body, NOTHING);
    // rfc8446#4.4.2.4 the server MAY continue without client authentication or abort with "certificate_required".
    if (chain.length === 0 && this.#options.clientAuth === "require") {
      throw alert("certificate_required", "the client sent no certificate");
    }
    this.takeCertificate(message, chain);
    this.#state = chain.length === 0 ? "wait_finished" : "wait_certificate_verify";
  }
}

/** In order of preference. rfc8446#4.1.1 if there is no supported set of parameters: handshake_failure. */
function commonSuites(ours: Capabilities, hello: ClientHello, ownOrder: boolean): CipherSuite[] {
  // rfc9001#5.3 An endpoint MUST NOT reject a ClientHello that offers a cipher suite that it does not support, or it
  // would be impossible to deploy a new cipher suite.
  const suites = ownOrder
    ? ours.suites.filter(({ id }) => hello.suites.includes(id))
    : hello.suites.flatMap((id) => ours.suites.filter((own) => own.id === id));
  if (suites.length === 0) throw alert("handshake_failure", "no cipher suite in common with the client");
  return suites;
}

/** Our first group that has a share; else our first that the client supports, which costs a HelloRetryRequest. */
function chooseGroup(ours: Capabilities, hello: ClientHello): GroupName {
  // rfc8446#9.2 only beside a PSK may they be missing.
  if (hello.groups.length === 0) {
    throw alert("missing_extension", "ClientHello without supported_groups, and its PSKs are unknown");
  }
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
