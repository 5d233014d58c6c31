// The traces of RFC 8448: the same messages must give the same secrets, MACs and signatures. (They lack ALPN and transport
// parameters, so no QUIC handshake can run on them; its parts can.)
import assert from "node:assert/strict";
import * as crypto from "node:crypto";
import { test } from "node:test";
import type { CryptoProvider } from "../../internal/crypto/provider.ts";
import { AES_128_GCM_SHA256 } from "../../internal/crypto/suites.ts";
import { fromHex, toHex } from "../../internal/protocol/bytes.ts";
import { certificateVerifyContent, checkCertificateVerify } from "../../internal/tls/certificate-verify.ts";
import { decodeClientHello } from "../../internal/tls/client-hello.ts";
import { Decoder } from "../../internal/tls/codec.ts";
import { KeySchedule, resumptionPsk } from "../../internal/tls/key-schedule.ts";
import { leafKey } from "../../internal/tls/leaf-key.ts";
import {
  decodeCertificate,
  decodeCertificateRequest,
  decodeCertificateVerify,
  decodeEncryptedExtensions,
  decodeFinished,
  decodeNewSessionTicket,
  decodeServerHello,
  encodeFinished,
} from "../../internal/tls/messages.ts";
import { readOfferedPsks, writeBinders } from "../../internal/tls/psk.ts";
import { Transcript } from "../../internal/tls/transcript.ts";
import { needsVectors, vectorJson } from "../vectors.ts";
import { failureOf, NOBLE, NODE, readHello } from "./harness.ts";

interface Step {
  party: "client" | "server";
  action: string;
  fields: { name: string; octets: number | null; hex: string }[];
}
interface Trace {
  section: string;
  title: string;
  steps: Step[];
}

const FILE = ["rfc", "rfc8448.json"] as const;
const skip = needsVectors(...FILE);
const traces = skip.skip === undefined ? vectorJson<Trace[]>(...FILE) : [];

const field = (step: Step | undefined, name: string): Uint8Array | null => {
  const found = step?.fields.find((candidate) => candidate.name === name);
  return found === undefined ? null : fromHex(found.hex);
};

/** Everything a trace says, by name. */
class Reader {
  readonly #steps: Step[];
  constructor(trace: Trace) {
    this.#steps = trace.steps;
  }
  /** The nth message `name`, of whoever sent it. */
  messages(name: string): Uint8Array[] {
    return this.#steps
      .filter((step) => step.action.startsWith("construct"))
      .map((step) => field(step, name))
      .filter((bytes) => bytes !== null);
  }
  value(action: string, name: string, party?: string): string | null {
    const step = this.#steps.find(
      (candidate) =>
        candidate.action === action &&
        candidate.fields.length > 0 &&
        (party === undefined || candidate.party === party),
    );
    const bytes = field(step, name);
    return bytes === null ? null : toHex(bytes);
  }
  /** The complete ClientHello with binders, where the constructed one lacks them. */
  payload(party: string, nth = 0): Uint8Array {
    const sent = this.#steps.filter(
      (step) => step.party === party && step.action === "send handshake record",
    );
    return field(sent[nth], "payload")!;
  }
}

let bindersSeen = 0;

function replay(trace: Trace, provider: CryptoProvider): void {
  const r = new Reader(trace);
  const hash = "sha256";
  const transcript = new Transcript(provider);
  const hellos = r.messages("ServerHello");
  const retried = hellos.length === 2;
  const server = hellos.at(-1)!;

  const first = r.payload("client");
  transcript.add(first);
  transcript.start(hash);
  let offered = new Set(readHello(first).extensions.map(([type]) => type));
  if (retried) {
    const retry = decodeServerHello(hellos[0]!.subarray(4), offered);
    assert.equal(retry.retry, true);
    assert.equal(retry.selectedGroup, 0x17);
    transcript.replaceByMessageHash();
    transcript.add(hellos[0]!);
    const second = r.payload("client", 1);
    transcript.add(second);
    offered = new Set(readHello(second).extensions.map(([type]) => type));
    assert.equal(retry.cookie === null, !readHello(second).extensions.some(([type]) => type === 44));
  }
  transcript.add(server);

  const resumption = r.value('extract secret "early"', "IKM");
  const psk = resumption === null || /^0*$/.test(resumption) ? null : fromHex(resumption);
  const schedule = new KeySchedule(provider, AES_128_GCM_SHA256, psk);
  // rfc8446#4.2.11.2 the binder, over the ClientHello without binders.
  const binder = r.value("calculate PSK binder", "finished");
  if (binder !== null) {
    const prefix = fromHex(r.value("calculate PSK binder", "ClientHello prefix")!);
    const block = readHello(first).extensions.at(-1)!;
    const offered = readOfferedPsks(new Decoder(block[1], "test"));
    assert.deepEqual(first.subarray(0, first.length - offered.bindersLength), prefix);
    assert.equal(toHex(offered.binders[0]!), binder);
    const empty = new Transcript(provider);
    assert.equal(toHex(schedule.binder(false, empty.digestWith(hash, prefix))), binder);
    assert.notEqual(toHex(schedule.binder(true, empty.digestWith(hash, prefix))), binder);
    const written = first.slice().fill(0, first.length - 32);
    writeBinders(written, [fromHex(binder)]);
    assert.deepEqual(written, first);
    bindersSeen++;
  }
  // Early traffic hangs off the transcript of the ClientHello alone.
  const early = r.value('derive secret "tls13 c e traffic"', "expanded");
  if (early !== null) {
    const clientHello = provider.hash(hash, first);
    assert.equal(toHex(schedule.earlyTraffic(clientHello)), early);
    assert.equal(
      toHex(schedule.derive("e exp master", clientHello)),
      r.value('derive secret "tls13 e exp master"', "expanded"),
    );
  }
  schedule.enterHandshake(fromHex(r.value('extract secret "handshake"', "IKM")!));
  const handshake = schedule.handshakeTraffic(transcript.digest());
  assert.equal(toHex(handshake.client), r.value('derive secret "tls13 c hs traffic"', "expanded"));
  assert.equal(toHex(handshake.server), r.value('derive secret "tls13 s hs traffic"', "expanded"));

  const [extensions] = r.messages("EncryptedExtensions");
  const [request] = r.messages("CertificateRequest");
  const certificates = r.messages("Certificate");
  const verifies = r.messages("CertificateVerify");
  const [serverFinished, clientFinished] = r.messages("Finished");
  const accepted = provider.signatures;
  const authenticate = (signer: "server" | "client", nth: number) => {
    const certificate = certificates[nth]!;
    const { chain } = decodeCertificate(certificate.subarray(4), offered);
    transcript.add(certificate);
    const verify = decodeCertificateVerify(verifies[nth]!.subarray(4));
    const spki = leafKey(chain[0]!);
    const key = crypto.createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
    const check = () => checkCertificateVerify(provider, verify, spki, signer, transcript.digest(), accepted);
    if (key.asymmetricKeyType === "rsa") {
      // A key of 1,024 bits, which no provider of ours takes: what is signed must be right all the same.
      assert.equal(failureOf(check), "decrypt_error");
      assert.equal(verify.scheme, 0x0804);
      const padding = crypto.constants.RSA_PKCS1_PSS_PADDING;
      const content = certificateVerifyContent(signer, transcript.digest());
      assert.ok(crypto.verify("sha256", content, { key, padding, saltLength: 32 }, verify.signature));
    } else {
      check();
    }
    transcript.add(verifies[nth]!);
  };

  // The traces are of TLS over TCP, where record_size_limit is negotiated.
  decodeEncryptedExtensions(extensions!.subarray(4), offered);
  transcript.add(extensions!);
  if (request !== undefined) {
    assert.ok(decodeCertificateRequest(request.subarray(4)).signatureSchemes.length > 0);
    transcript.add(request);
  }
  if (psk === null) authenticate("server", 0);
  assert.deepEqual(encodeFinished(schedule.finished(handshake.server, transcript.digest())), serverFinished);
  decodeFinished(serverFinished!.subarray(4), 32);
  transcript.add(serverFinished!);

  schedule.enterMaster();
  const application = schedule.applicationTraffic(transcript.digest());
  assert.equal(toHex(application.client), r.value('derive secret "tls13 c ap traffic"', "expanded"));
  assert.equal(toHex(application.server), r.value('derive secret "tls13 s ap traffic"', "expanded"));
  assert.equal(
    toHex(schedule.exporter(transcript.digest()).master),
    r.value('derive secret "tls13 exp master"', "expanded"),
  );

  for (const end of r.messages("EndOfEarlyData")) transcript.add(end);
  if (request !== undefined) authenticate("client", 1);
  assert.deepEqual(encodeFinished(schedule.finished(handshake.client, transcript.digest())), clientFinished);
  transcript.add(clientFinished!);
  const resumptionMaster = schedule.resumptionMaster(transcript.digest());
  assert.equal(toHex(resumptionMaster), r.value('derive secret "tls13 res master"', "expanded"));

  for (const bytes of r.messages("NewSessionTicket")) {
    const body = bytes.subarray(4);
    // rfc9001#4.6.1 over QUIC its max_early_data_size of 1024 is not allowed …
    assert.equal(
      failureOf(() => decodeNewSessionTicket(body)),
      "PROTOCOL_VIOLATION",
    );
    // … what QUIC has is.
    const fixed = body.slice();
    fixed.fill(0xff, fixed.length - 4);
    const ticket = decodeNewSessionTicket(fixed);
    const secret = resumptionPsk(provider, AES_128_GCM_SHA256, resumptionMaster, ticket.nonce);
    assert.equal(toHex(secret), r.value('generate resumption secret "tls13 resumption"', "expanded"));
  }
}

for (const provider of [NODE, NOBLE]) {
  for (const trace of traces) {
    test(`rfc8448#${trace.section} ${trace.title}, ${provider.name}`, () => replay(trace, provider));
  }
}
test("rfc8448 a binder was among them", skip, () => assert.ok(bindersSeen > 0));
if (traces.length === 0) test("rfc8448 traces", skip, () => {});

test("rfc8448 ephemeral keys agree", skip, () => {
  for (const trace of traces) {
    const r = new Reader(trace);
    const expected = r.value('extract secret "handshake"', "IKM")!;
    const privateKey = r.value("create an ephemeral x25519 key pair", "private key", "server");
    // The trace in compatibility mode echoes a session ID, which QUIC does not have.
    if (privateKey === null || trace.section === "7") continue;
    const server = decodeServerHello(r.messages("ServerHello")[0]!.subarray(4), new Set([43, 51, 41]));
    const clientKey = r.value("create an ephemeral x25519 key pair", "private key", "client")!;
    for (const provider of [NODE, NOBLE]) {
      const share = provider.keyShare("x25519", (out) => out.set(fromHex(clientKey)));
      assert.equal(toHex(share.publicKey), r.value("create an ephemeral x25519 key pair", "public key"));
      assert.equal(toHex(share.agree(server.keyShare!.key)!), expected);
    }
  }
});

test("rfc8448 ClientHellos are no QUIC ClientHellos", skip, () => {
  for (const trace of traces) {
    const result = failureOf(() => decodeClientHello(new Reader(trace).payload("client").subarray(4)));
    const expected = trace.section === "7" ? "PROTOCOL_VIOLATION" : "no_application_protocol";
    assert.equal(result, expected, trace.title);
  }
});
