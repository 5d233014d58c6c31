import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import * as nodeTls from "node:tls";
import { AsnConvert } from "@peculiar/asn1-schema";
import { Certificate } from "@peculiar/asn1-x509";
import {
  DER_BIT_STRING,
  DER_INTEGER,
  DER_OCTET_STRING,
  DER_OID,
  DER_SEQUENCE,
  derTlv,
  readDer,
  readOne,
} from "../../../internal/crypto/der.ts";
import { concatBytes, utf8 } from "../../../internal/protocol/bytes.ts";
import { InvalidOptionError } from "../../../internal/protocol/errors.ts";
import { toPem } from "../../../internal/tls/self-signed.ts";
import { encodeOid, decodeOid, EXT } from "../../../internal/tls/x509/oid.ts";
import { parseCertificate, parseCertificateUncached } from "../../../internal/tls/x509/parse.ts";
import { PeerCertificate } from "../../../internal/tls/x509/peer-certificate.ts";
import { loadTrustAnchors } from "../../../internal/tls/x509/path.ts";
import { pemToDer } from "../../../internal/tls/x509/pem.ts";
import { CertificateFormatError } from "../../../internal/tls/x509/reasons.ts";
import { encodeTime, formatTime, isoTime, parseTime, utcMs } from "../../../internal/tls/x509/time.ts";
import { make, NOW, provider, root } from "./helpers.ts";

const rejects = (der: Uint8Array, message: RegExp): void => {
  assert.throws(
    () => parseCertificateUncached(der),
    (error: unknown) => error instanceof CertificateFormatError && message.test(error.message),
  );
};

/** Takes a certificate apart, lets `edit` change the fields of the signed part, and puts it together. */
function rebuild(cert: Uint8Array, edit: (fields: Uint8Array[]) => Uint8Array[]): Uint8Array {
  const [tbs, algorithm, signature] = readDer(readOne(cert, DER_SEQUENCE).value);
  const fields = edit(readDer(tbs!.value).map((field) => field.raw));
  return derTlv(DER_SEQUENCE, derTlv(DER_SEQUENCE, ...fields), algorithm!.raw, signature!.raw);
}

const PLAIN = make({
  subject: [
    ["C", "NZ"],
    ["O", "Kiwi, Ltd"],
    ["OU", "One"],
    ["OU", "Two"],
    ["CN", "Ünïcode"],
  ],
  altNames: [
    "example.org",
    "IP:192.0.2.1",
    "IP:2001:db8::1",
    "email:a@example.org",
    "URI:https://example.org/?a=b",
  ],
});

test("node:crypto reads the same", () => {
  for (const { cert } of [PLAIN, root(), make({ subject: "", altNames: ["x.example"] })]) {
    const ours = new PeerCertificate(parseCertificate(cert), provider);
    const theirs = new X509Certificate(cert);
    const legacy = theirs.toLegacyObject();
    assert.equal(ours.subjectaltname, theirs.subjectAltName);
    assert.equal(ours.valid_from, theirs.validFrom);
    assert.equal(ours.valid_to, theirs.validTo);
    assert.equal(ours.fingerprint256, theirs.fingerprint256);
    assert.equal(ours.fingerprint512, theirs.fingerprint512);
    assert.equal(ours.serialNumber, theirs.serialNumber);
    assert.equal(ours.ca, theirs.ca);
    assert.deepEqual({ ...ours.subject }, { ...legacy.subject });
    assert.deepEqual({ ...ours.issuer }, { ...legacy.issuer });
    assert.deepEqual(ours.ext_key_usage, theirs.keyUsage);
    assert.deepEqual(Buffer.from(ours.raw), theirs.raw);
    assert.deepEqual(Buffer.from(ours.pubkey), theirs.publicKey.export({ type: "spki", format: "der" }));
    assert.equal(ours.bits, 256);
  }
});

test("@peculiar/asn1-x509 reads the same", () => {
  const ours = parseCertificate(PLAIN.cert);
  const { tbsCertificate: theirs, signatureValue } = AsnConvert.parse(PLAIN.cert, Certificate);
  assert.equal(ours.version, theirs.version + 1);
  assert.deepEqual(ours.serialNumber, new Uint8Array(theirs.serialNumber));
  assert.equal(ours.notBefore, theirs.validity.notBefore.getTime().getTime());
  assert.equal(ours.notAfter, theirs.validity.notAfter.getTime().getTime());
  assert.deepEqual(ours.spki, new Uint8Array(AsnConvert.serialize(theirs.subjectPublicKeyInfo)));
  assert.deepEqual(ours.signature, new Uint8Array(signatureValue));
  assert.deepEqual(
    [...ours.extensions.all.keys()],
    [...(theirs.extensions ?? [])].map((extension) => extension.extnID),
  );
});

test("Node's whole list of roots is read, equal to node:crypto", () => {
  for (const text of nodeTls.rootCertificates) {
    const theirs = new X509Certificate(text);
    const parsed = parseCertificateUncached(theirs.raw);
    const ours = new PeerCertificate(parsed, provider);
    assert.equal(ours.valid_from, theirs.validFrom);
    assert.equal(ours.valid_to, theirs.validTo);
    assert.equal(ours.subjectaltname, theirs.subjectAltName);
    assert.ok(parsed.selfIssued);
    assert.deepEqual({ ...ours.subject }, { ...theirs.toLegacyObject().subject });
  }
  const anchors = loadTrustAnchors([...nodeTls.rootCertificates]);
  assert.equal(anchors.size, new Set(nodeTls.rootCertificates).size);
  const [first] = pemToDer(nodeTls.rootCertificates[0]!, "CERTIFICATE");
  assert.ok(anchors.has(parseCertificate(first!)));
});

test("the same bytes give the same object, other bytes another", () => {
  const first = parseCertificate(PLAIN.cert);
  assert.equal(parseCertificate(PLAIN.cert.slice()), first);
  assert.notEqual(parseCertificate(root().cert), first);
  // It keeps a copy: what was given may be written again.
  const scratch = PLAIN.cert.slice();
  const kept = parseCertificateUncached(scratch);
  scratch.fill(0);
  assert.deepEqual(kept.raw, PLAIN.cert);
});

test("what is around a certificate is refused", () => {
  rejects(new Uint8Array(0), /malformed/);
  rejects(concatBytes(PLAIN.cert, Uint8Array.of(0)), /malformed/);
  rejects(PLAIN.cert.subarray(0, PLAIN.cert.length - 1), /malformed/);
  rejects(derTlv(DER_SEQUENCE), /not a certificate/);
  rejects(utf8(toPem("CERTIFICATE", PLAIN.cert)), /malformed/);
  const [tbs, algorithm] = readDer(readOne(PLAIN.cert, DER_SEQUENCE).value);
  const bits = derTlv(DER_BIT_STRING, Uint8Array.of(3, 0x08));
  rejects(derTlv(DER_SEQUENCE, tbs!.raw, algorithm!.raw, bits), /signature/);
});

test("fields of the signed part are looked at", () => {
  const change = (at: number, value: Uint8Array) => rebuild(PLAIN.cert, (fields) => fields.with(at, value));
  parseCertificateUncached(rebuild(PLAIN.cert, (fields) => fields));
  rejects(change(0, derTlv(0xa0, derTlv(DER_INTEGER, Uint8Array.of(3)))), /unknown version/);
  rejects(
    change(0, derTlv(0xa0, derTlv(DER_INTEGER, Uint8Array.of(1)))),
    /extensions in a version 2 certificate/,
  );
  rejects(
    rebuild(PLAIN.cert, (fields) => fields.slice(1)),
    /extensions in a version 1 certificate/,
  );
  rejects(change(1, derTlv(DER_INTEGER)), /empty integer/);
  rejects(change(1, derTlv(DER_INTEGER, Uint8Array.of(0, 1))), /not minimal/);
  rejects(change(5, derTlv(0x31)), /malformed/);
  rejects(
    rebuild(PLAIN.cert, (fields) => fields.slice(0, 6)),
    /fields are missing/,
  );
  rejects(
    rebuild(PLAIN.cert, (fields) => [...fields, derTlv(0x82, Uint8Array.of(0, 1))]),
    /unexpected field/,
  );
  rejects(
    rebuild(PLAIN.cert, (fields) => [...fields, derTlv(0x04)]),
    /unexpected field/,
  );
  // rfc5280#4.1.2.8 unique identifiers are read past, in their place.
  const identifier = derTlv(0x81, Uint8Array.of(0, 1));
  parseCertificateUncached(
    rebuild(PLAIN.cert, (fields) => [...fields.slice(0, 7), identifier, ...fields.slice(7)]),
  );
  // rfc5280#4.1.2.2 negative and zero serials, and too long ones, are borne.
  for (const serial of [Uint8Array.of(0), Uint8Array.of(0x80), new Uint8Array(40).fill(0x7f)]) {
    const { serialNumber } = parseCertificateUncached(change(1, derTlv(DER_INTEGER, serial)));
    assert.deepEqual(serialNumber, serial);
  }
});

// rfc5280#4.1.2.9, rfc5280#4.2
test("extensions: once each, with version 3, well-formed", () => {
  const twice = { oid: "1.2.3.4", value: Uint8Array.of(5, 0) };
  rejects(make({ extensions: [twice, twice] }).cert, /1\.2\.3\.4 appears twice/);
  rejects(make({ faults: { version: 1 } }).cert, /extensions in a version 2/);
  rejects(
    make({ extensions: Array.from({ length: 200 }, (_, i) => ({ ...twice, oid: `1.2.3.${i}` })) }).cert,
    /too many extensions/,
  );
  rejects(
    rebuild(PLAIN.cert, (fields) => fields.with(7, derTlv(0xa3, derTlv(DER_SEQUENCE)))),
    /empty list of extensions/,
  );
  const bare = {
    noBasicConstraints: true,
    keyUsage: null,
    extendedKeyUsage: null,
    noKeyIdentifiers: true,
  } as const;
  const bad: [oid: string, value: Uint8Array][] = [
    [EXT.basicConstraints, derTlv(DER_SEQUENCE, Uint8Array.of(1, 1, 1))],
    [EXT.basicConstraints, derTlv(DER_SEQUENCE, Uint8Array.of(1, 1, 255), Uint8Array.of(2, 1, 255))],
    [EXT.basicConstraints, derTlv(DER_SEQUENCE, Uint8Array.of(1, 1, 255), Uint8Array.of(2, 2, 0, 1))],
    [EXT.basicConstraints, concatBytes(derTlv(DER_SEQUENCE), Uint8Array.of(0))],
    [EXT.basicConstraints, Uint8Array.of(0x30, 0x80, 0, 0)],
    [EXT.basicConstraints, derTlv(DER_OCTET_STRING)],
    [EXT.keyUsage, derTlv(DER_BIT_STRING, Uint8Array.of(0, 0))],
    [EXT.keyUsage, derTlv(DER_BIT_STRING, Uint8Array.of(1, 0x81))],
    [EXT.keyUsage, derTlv(DER_BIT_STRING)],
    [EXT.keyUsage, derTlv(DER_BIT_STRING, Uint8Array.of(0, 1, 2, 3, 4))],
    [EXT.extendedKeyUsage, derTlv(DER_SEQUENCE)],
    [EXT.extendedKeyUsage, derTlv(DER_SEQUENCE, derTlv(DER_OID))],
    [EXT.extendedKeyUsage, derTlv(DER_SEQUENCE, derTlv(DER_INTEGER, Uint8Array.of(1)))],
    [EXT.subjectAltName, derTlv(DER_SEQUENCE)],
    [EXT.subjectAltName, derTlv(DER_SEQUENCE, derTlv(0x82, Uint8Array.of(0xff)))],
    [EXT.subjectAltName, derTlv(DER_SEQUENCE, derTlv(0x87, Uint8Array.of(1, 2, 3)))],
    [EXT.subjectAltName, derTlv(DER_SEQUENCE, derTlv(0x8a, Uint8Array.of(1)))],
    [EXT.subjectAltName, derTlv(DER_SEQUENCE, derTlv(0xa2, derTlv(0x04, utf8("a"))))],
    [EXT.subjectKeyIdentifier, derTlv(DER_INTEGER, Uint8Array.of(1))],
    [EXT.subjectKeyIdentifier, derTlv(0x24, derTlv(DER_OCTET_STRING))],
    [EXT.certificatePolicies, derTlv(DER_SEQUENCE)],
    [
      EXT.policyMappings,
      derTlv(
        DER_SEQUENCE,
        derTlv(DER_SEQUENCE, derTlv(DER_OID, encodeOid("2.5.29.32.0")), derTlv(DER_OID, encodeOid("1.2.3"))),
      ),
    ],
    [EXT.inhibitAnyPolicy, derTlv(DER_INTEGER, Uint8Array.of(0xff))],
    [
      EXT.issuerAltName,
      Array.from({ length: 40 }).reduce<Uint8Array>((inner) => derTlv(DER_SEQUENCE, inner), derTlv(5)),
    ],
  ];
  for (const [oid, value] of bad) {
    rejects(
      make({ ...bare, extensions: [{ oid, value }] }).cert,
      /malformed certificate: extension [a-zA-Z]+: /,
    );
  }
  const policies = derTlv(DER_SEQUENCE, derTlv(DER_OID, encodeOid("1.2.3")));
  rejects(
    make({
      ...bare,
      extensions: [{ oid: EXT.certificatePolicies, value: derTlv(DER_SEQUENCE, policies, policies) }],
    }).cert,
    /a policy appears twice/,
  );
});

test("what the extensions say", () => {
  const ca = parseCertificate(root({ pathLength: 3, policies: ["1.2.3", "2.5.29.32.0"] }).cert).extensions;
  assert.deepEqual(ca.basicConstraints, { ca: true, pathLength: 3 });
  assert.equal(ca.keyUsage, 0b1100001);
  assert.equal(ca.extendedKeyUsage, null);
  assert.deepEqual(ca.policies.policies, ["1.2.3", "2.5.29.32.0"]);
  assert.deepEqual(ca.subjectKeyIdentifier, ca.authorityKeyIdentifier);
  const end = parseCertificate(make({ keyUsage: ["decipherOnly", "digitalSignature"] }).cert).extensions;
  assert.deepEqual(end.basicConstraints, { ca: false, pathLength: Infinity });
  assert.equal(end.keyUsage, 0b100000001);
  assert.deepEqual(end.unknownCritical, []);
});

test("all kinds of strings in names", () => {
  const cn = derTlv(DER_OID, encodeOid("2.5.4.3"));
  const named = (value: Uint8Array) => {
    const name = derTlv(DER_SEQUENCE, derTlv(0x31, derTlv(DER_SEQUENCE, cn, value)));
    return rebuild(PLAIN.cert, (fields) => fields.with(5, name));
  };
  const text = (value: Uint8Array) => parseCertificateUncached(named(value)).subject.values("2.5.4.3")[0];
  assert.equal(text(derTlv(0x0c, utf8("é✓"))), "é✓");
  assert.equal(text(derTlv(0x13, utf8("plain"))), "plain");
  assert.equal(text(derTlv(0x14, Uint8Array.of(0xe9))), "é");
  assert.equal(text(derTlv(0x1e, Uint8Array.of(0x27, 0x13))), "✓");
  assert.equal(text(derTlv(0x1c, Uint8Array.of(0, 1, 0xf6, 0))), "\u{1f600}");
  assert.equal(text(derTlv(0x02, Uint8Array.of(5))), undefined);
  rejects(named(derTlv(0x0c, Uint8Array.of(0xff))), /not UTF-8/);
  rejects(named(derTlv(0x13, Uint8Array.of(0xe9))), /not ASCII/);
  rejects(named(derTlv(0x1e, Uint8Array.of(1))), /cut off/);
});

test("alternative names cannot be forged from within one", () => {
  const { cert } = make({ altNames: ["DNS:a.example, DNS:evil.example", 'email:"x"@y'] });
  const ours = new PeerCertificate(parseCertificate(cert), provider);
  assert.equal(ours.subjectaltname, new X509Certificate(cert).subjectAltName);
  assert.equal(ours.subjectaltname, 'DNS:"a.example\\u002c DNS:evil.example", email:"\\"x\\"@y"');
});

// rfc5280#4.1.2.5
test("times", () => {
  const rows: [tag: number, text: string, ms: number | null][] = [
    [0x17, "500101000000Z", Date.UTC(1950, 0, 1)],
    [0x17, "491231235959Z", Date.UTC(2049, 11, 31, 23, 59, 59)],
    [0x17, "240229120000Z", Date.UTC(2024, 1, 29, 12)],
    [0x17, "230229120000Z", null],
    [0x18, "20500101000000Z", Date.UTC(2050, 0, 1)],
    [0x18, "99991231235959Z", Date.UTC(9999, 11, 31, 23, 59, 59)],
    // Conforming applications MUST be able to process either form.
    [0x18, "20240229120000Z", Date.UTC(2024, 1, 29, 12)],
    [0x18, "19000229000000Z", null],
    [0x17, "2402291200Z", null],
    [0x17, "240229120000", null],
    [0x17, "240229120000+0000", null],
    [0x17, "240229120060Z", null],
    [0x17, "240229240000Z", null],
    [0x17, "241301120000Z", null],
    [0x17, "240001120000Z", null],
    [0x17, "24 229120000Z", null],
    [0x18, "20240229120000.5Z", null],
    [0x16, "240229120000Z", null],
  ];
  for (const [tag, text, ms] of rows) {
    if (ms === null) assert.throws(() => parseTime(tag, utf8(text)), RangeError, text);
    else assert.equal(parseTime(tag, utf8(text)), ms, text);
  }
  for (let i = 0; i < 2000; i++) {
    const ms = Math.floor((-631_152_000 + i * 126_227_808.37) % 253_402_300_799) * 1000;
    const encoded = encodeTime(ms);
    assert.equal(encoded[0], new Date(ms).getUTCFullYear() < 2050 ? 0x17 : 0x18);
    assert.equal(parseTime(encoded[0]!, encoded.subarray(2)), ms);
    assert.equal(isoTime(ms), new Date(ms).toISOString().replace(".000", ""));
  }
  assert.equal(formatTime(utcMs(2025, 11, 3, 9, 5, 7)), "Nov  3 09:05:07 2025 GMT");
});

test("object identifiers", () => {
  for (const dotted of [
    "2.5.29.37.0",
    "1.2.840.113549.1.1.11",
    "0.9.2342.19200300.100.1.25",
    "2.999.3",
    "1.3.6.1.4.1.311",
    "2.25.329800735698586629295641978511506172918",
    "2.340282366920938463463374607431768211455",
  ]) {
    assert.equal(decodeOid(encodeOid(dotted)), dotted);
  }
  for (const bytes of [[], [0x80], [0x2a, 0x80, 1], [0x2a, 0x86]]) {
    assert.throws(() => decodeOid(Uint8Array.from(bytes)), RangeError);
  }
  for (const text of ["", "1", "3.1", "1.40", "1.x", "1..2", "1.-2"])
    assert.throws(() => encodeOid(text), RangeError);
});

test("PEM", () => {
  const text = toPem("CERTIFICATE", PLAIN.cert);
  const two = `# a comment\n${text}junk\n${toPem("PRIVATE KEY", PLAIN.key)}${text.replace(/\n/g, "\r\n")}`;
  assert.deepEqual(pemToDer(two, "CERTIFICATE"), [PLAIN.cert, PLAIN.cert]);
  assert.deepEqual(pemToDer(utf8(two), "PRIVATE KEY"), [PLAIN.key]);
  assert.deepEqual(pemToDer(PLAIN.cert, "CERTIFICATE"), [PLAIN.cert]);
  assert.equal(new X509Certificate(text).raw.length, PLAIN.cert.length);
  for (let n = 0; n < 70; n++) {
    const bytes = Uint8Array.from({ length: n }, (_, i) => 37 * i + n);
    assert.deepEqual(pemToDer(toPem("X", bytes), "X"), [bytes]);
  }
  for (const broken of [
    text.replace("-----END", "-----XND"),
    text.replace(/[A-Za-z0-9]\n/, "\n"),
    text.replace("MII", "M*I"),
    text.replace("MII", "M=I"),
  ]) {
    assert.throws(() => pemToDer(broken, "CERTIFICATE"), RangeError);
  }
});

test("trust anchors are checked when they are few", () => {
  const broken = PLAIN.cert.slice();
  broken[broken.length - 100] ^= 0xff;
  const refuse = (item: unknown, message: RegExp) =>
    assert.throws(
      () => loadTrustAnchors([item as string]),
      (error: unknown) =>
        error instanceof InvalidOptionError && error.option === "ca" && message.test(error.message),
    );
  refuse("", /no "-----BEGIN CERTIFICATE-----"/);
  refuse(toPem("PRIVATE KEY", PLAIN.key), /no "-----BEGIN CERTIFICATE-----"/);
  refuse(toPem("CERTIFICATE", PLAIN.key), /not a certificate/);
  refuse(Uint8Array.of(1, 2, 3), /not a certificate/);
  refuse(42, /PEM text or DER bytes/);
  refuse("-----BEGIN CERTIFICATE-----\n%%%%\n-----END CERTIFICATE-----\n", /not base64/);
  refuse(make({ faults: { version: 1 } }).cert, /extensions in a version 2 certificate/);
  const both = loadTrustAnchors([
    toPem("CERTIFICATE", PLAIN.cert) + toPem("CERTIFICATE", root().cert),
    PLAIN.cert,
  ]);
  assert.equal(both.size, 2);
});

test("dates beyond 2049", () => {
  const far = utcMs(9999, 12, 31, 23, 59, 59);
  const { cert } = make({ notAfter: far });
  assert.equal(parseCertificate(cert).notAfter, far);
  assert.equal(parseCertificate(cert).notBefore, NOW - 365 * 86_400_000);
  assert.equal(new X509Certificate(cert).validTo, "Dec 31 23:59:59 9999 GMT");
});
