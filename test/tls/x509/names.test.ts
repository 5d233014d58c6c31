import assert from "node:assert/strict";
import { test } from "node:test";
import { DER_SEQUENCE, derTlv } from "../../../internal/crypto/der.ts";
import { MAX_NAME_CONSTRAINT_CHECKS } from "../../../internal/protocol/limits.ts";
import { utf8 } from "../../../internal/protocol/bytes.ts";
import { EXT } from "../../../internal/tls/x509/oid.ts";
import { checkNameConstraints } from "../../../internal/tls/x509/names.ts";
import { parseCertificate } from "../../../internal/tls/x509/parse.ts";
import { intermediate, leaf, make, root, verdict, type Options } from "./helpers.ts";

const ROOT = root();
const client = { purpose: "client", serverName: null } as const;

type Constraints = NonNullable<Options["nameConstraints"]>;

/** The verdict over a leaf below an intermediate with these constraints. */
function under(constraints: Constraints, options: Options): string {
  const middle = intermediate(ROOT, { nameConstraints: constraints });
  return verdict([leaf(middle, options), middle], [ROOT], client);
}

const OK = "ok";
const NO = "PERMITTED_VIOLATION";
const OUT = "EXCLUDED_VIOLATION";

/** A row: subtrees, names of the leaf, verdict. */
function table(rows: readonly (readonly [Constraints, readonly string[], string])[]): void {
  for (const [constraints, altNames, expected] of rows) {
    assert.equal(under(constraints, { altNames }), expected, JSON.stringify([constraints, altNames]));
  }
}

// rfc5280#4.2.1.10
test("DNS names", () => {
  table([
    [{ permitted: ["DNS:example.org"] }, ["DNS:example.org"], OK],
    [{ permitted: ["DNS:example.org"] }, ["DNS:a.b.Example.ORG"], OK],
    [{ permitted: ["DNS:example.org"] }, ["DNS:notexample.org"], NO],
    [{ permitted: ["DNS:example.org"] }, ["DNS:example.org", "DNS:example.com"], NO],
    [{ permitted: ["DNS:example.org", "DNS:example.com"] }, ["DNS:example.org", "DNS:www.example.com"], OK],
    [{ permitted: ["DNS:.example.org"] }, ["DNS:www.example.org"], OK],
    [{ permitted: ["DNS:.example.org"] }, ["DNS:example.org"], NO],
    [{ permitted: ["DNS:"] }, ["DNS:anything.example"], OK],
    [{ excluded: ["DNS:"] }, ["DNS:anything.example"], OUT],
    [{ excluded: ["DNS:bad.example.org"] }, ["DNS:good.example.org"], OK],
    [{ excluded: ["DNS:bad.example.org"] }, ["DNS:very.bad.example.org"], OUT],
    [{ permitted: ["DNS:example.org"], excluded: ["DNS:bad.example.org"] }, ["DNS:bad.example.org"], OUT],
    [{ permitted: ["DNS:example.org"] }, ["DNS:*.example.org"], OK],
    [{ permitted: ["DNS:foo.example.org"] }, ["DNS:*.example.org"], NO],
    // The wildcard may stand for what is excluded.
    [{ excluded: ["DNS:bad.example.org"] }, ["DNS:*.example.org"], OUT],
    [{ excluded: ["DNS:very.bad.example.org"] }, ["DNS:*.example.org"], OK],
    [{ excluded: ["DNS:.example.org"] }, ["DNS:*.example.org"], OUT],
    // Names that cannot be compared do not pass.
    [{ permitted: ["DNS:example.org"] }, ["DNS:ex ample.example.org"], NO],
    [{ excluded: ["DNS:example.org"] }, ["DNS:a..example.com"], OUT],
    // Other kinds of names are not restricted.
    [{ permitted: ["DNS:example.org"] }, ["IP:192.0.2.1", "email:a@b.example"], OK],
  ]);
});

test("IP addresses", () => {
  table([
    [{ permitted: ["IP:10.0.0.0/8"] }, ["IP:10.255.1.2"], OK],
    [{ permitted: ["IP:10.0.0.0/8"] }, ["IP:11.0.0.1"], NO],
    [{ permitted: ["IP:10.0.0.0/8"] }, ["IP:fd00::1"], NO],
    [{ permitted: ["IP:10.0.0.0/8", "IP:fd00::/8"] }, ["IP:fd00::1"], OK],
    [{ excluded: ["IP:192.0.2.128/25"] }, ["IP:192.0.2.127"], OK],
    [{ excluded: ["IP:192.0.2.128/25"] }, ["IP:192.0.2.128"], OUT],
    [{ excluded: ["IP:0.0.0.0/0"] }, ["IP:203.0.113.9"], OUT],
    [{ excluded: ["IP:0.0.0.0/0"] }, ["DNS:example.org"], OK],
    [{ excluded: ["IP:2001:db8::/33"] }, ["IP:2001:db8:8000::1"], OK],
    [{ excluded: ["IP:2001:db8::/33"] }, ["IP:2001:db8:7fff::1"], OUT],
  ]);
});

test("e-mail addresses, also in the subject", () => {
  table([
    [{ permitted: ["email:root@example.org"] }, ["email:root@EXAMPLE.org"], OK],
    [{ permitted: ["email:root@example.org"] }, ["email:Root@example.org"], NO],
    [{ permitted: ["email:example.org"] }, ["email:a@example.org"], OK],
    [{ permitted: ["email:example.org"] }, ["email:a@host.example.org"], NO],
    [{ permitted: ["email:.example.org"] }, ["email:a@host.example.org"], OK],
    [{ permitted: ["email:.example.org"] }, ["email:a@example.org"], NO],
    [{ excluded: ["email:example.org"] }, ["email:a@example.org"], OUT],
    [{ excluded: ["email:example.org"] }, ["email:nonsense"], OUT],
  ]);
  const subject = [["emailAddress", "a@example.com"]] as const;
  assert.equal(under({ permitted: ["email:example.org"] }, { subject }), NO);
  assert.equal(under({ permitted: ["email:example.com"] }, { subject }), OK);
  // rfc5280#4.2.1.10 only where there is no alternative name of that type.
  assert.equal(
    under({ permitted: ["email:example.org"] }, { subject, altNames: ["email:b@example.org"] }),
    OK,
  );
});

test("URIs, by their host", () => {
  table([
    [{ permitted: ["URI:host.example.org"] }, ["URI:https://host.example.org:8443/path?q#f"], OK],
    [{ permitted: ["URI:host.example.org"] }, ["URI:https://user@HOST.example.org"], OK],
    [{ permitted: ["URI:host.example.org"] }, ["URI:https://www.host.example.org/"], NO],
    [{ permitted: ["URI:.example.org"] }, ["URI:spiffe://host.example.org/x"], OK],
    [{ permitted: ["URI:.example.org"] }, ["URI:https://example.org/"], NO],
    [{ permitted: ["URI:.example.org"] }, ["URI:https://evil.com/.example.org"], NO],
    [{ excluded: ["URI:.example.org"] }, ["URI:https://a.example.org@evil.com/"], OK],
    [{ excluded: ["URI:example.org"] }, ["URI:https://example.org"], OUT],
    // rfc5280#4.2.1.10 without authority, or with an address as host: MUST be rejected.
    [{ permitted: ["URI:example.org"] }, ["URI:urn:isbn:1"], NO],
    [{ excluded: ["URI:example.org"] }, ["URI:https://192.0.2.1/"], OUT],
    [{ excluded: ["URI:example.org"] }, ["URI:https://[2001:db8::1]/"], OUT],
  ]);
});

test("directory names, in the subject and among the alternative names", () => {
  const inside = [
    ["O", "Tests"],
    ["CN", "x"],
  ] as const;
  const outside = [
    ["O", "Others"],
    ["CN", "x"],
  ] as const;
  assert.equal(under({ permitted: ["dirName:O=tests"] }, { subject: inside }), OK);
  assert.equal(under({ permitted: ["dirName:O=tests"] }, { subject: outside }), NO);
  assert.equal(under({ excluded: ["dirName:O=tests"] }, { subject: inside }), OUT);
  assert.equal(under({ excluded: ["dirName:O=tests"] }, { subject: outside }), OK);
  assert.equal(under({ permitted: ["dirName:O=Tests"] }, { subject: "", altNames: ["a.example"] }), OK);
  assert.equal(
    under({ permitted: ["dirName:O=Tests"] }, { subject: inside, altNames: ["dirName:O=Others"] }),
    NO,
  );
  assert.equal(under({ permitted: ["dirName:"] }, { subject: outside }), OK);
});

test("name forms that we cannot compare are refused where they are constrained and occur", () => {
  const constrained = { permitted: ["RID:1.2.3"] };
  assert.equal(under(constrained, { altNames: ["RID:1.2.3"] }), "UNSUPPORTED_CONSTRAINT_TYPE");
  assert.equal(under(constrained, { altNames: ["a.example"] }), OK);
  assert.equal(under({ permitted: ["DNS:example.org"] }, { altNames: ["RID:1.2.3"] }), OK);
});

// rfc5280#6.1.3 (b), (c)
test("constraints reach all the way down, and spare self-issued intermediates", () => {
  const top = root({
    subject: "CN=Top",
    nameConstraints: { permitted: ["DNS:example.org", "dirName:CN=inside"] },
  });
  const middle = intermediate(top, { subject: "CN=inside" });
  const end = (subject: string, altNames: string[]) => leaf(middle, { subject, altNames });
  assert.equal(verdict([end("CN=inside", ["example.org"]), middle], [top], client), OK);
  assert.equal(verdict([end("CN=inside", ["example.com"]), middle], [top], client), NO);
  const outside = intermediate(top, { subject: "CN=outside" });
  assert.equal(verdict([leaf(outside, { subject: "CN=inside" }), outside], [top], client), NO);
  // The root's own name is outside of what it permits; as a self-issued intermediate it may be.
  const rollover = make({ subject: "CN=Top", ca: true, issuer: top });
  assert.equal(verdict([leaf(rollover, { subject: "CN=inside" }), rollover], [top], client), OK);
  // Two authorities: both count.
  const narrow = intermediate(top, {
    subject: "CN=inside",
    nameConstraints: { excluded: ["DNS:no.example.org"] },
  });
  assert.equal(
    verdict([leaf(narrow, { subject: "CN=inside", altNames: ["yes.example.org"] }), narrow], [top], client),
    OK,
  );
  assert.equal(
    verdict([leaf(narrow, { subject: "CN=inside", altNames: ["no.example.org"] }), narrow], [top], client),
    OUT,
  );
});

test("malformed constraints make a certificate malformed", () => {
  const broken: Uint8Array[] = [
    derTlv(DER_SEQUENCE),
    derTlv(DER_SEQUENCE, derTlv(0xa0)),
    derTlv(DER_SEQUENCE, derTlv(0xa0, derTlv(DER_SEQUENCE))),
    // A mask that is no prefix, and an address without mask.
    derTlv(
      DER_SEQUENCE,
      derTlv(0xa0, derTlv(DER_SEQUENCE, derTlv(0x87, Uint8Array.of(10, 0, 0, 0, 255, 0, 255, 0)))),
    ),
    derTlv(DER_SEQUENCE, derTlv(0xa0, derTlv(DER_SEQUENCE, derTlv(0x87, Uint8Array.of(10, 0, 0, 0))))),
    // rfc5280#4.2.1.10 minimum MUST be zero, maximum MUST be absent.
    derTlv(
      DER_SEQUENCE,
      derTlv(0xa0, derTlv(DER_SEQUENCE, derTlv(0x82, utf8("a.example")), derTlv(0x80, Uint8Array.of(1)))),
    ),
    // excluded before permitted
    derTlv(
      DER_SEQUENCE,
      derTlv(0xa1, derTlv(DER_SEQUENCE, derTlv(0x82, utf8("a.example")))),
      derTlv(0xa0, derTlv(DER_SEQUENCE, derTlv(0x82, utf8("a.example")))),
    ),
  ];
  for (const value of broken) {
    const made = make({ ca: true, extensions: [{ oid: EXT.nameConstraints, critical: true, value }] });
    assert.throws(() => parseCertificate(made.cert), /malformed certificate: extension nameConstraints/);
  }
  const explicitZero = derTlv(
    DER_SEQUENCE,
    derTlv(0xa0, derTlv(DER_SEQUENCE, derTlv(0x82, utf8("a.example")), derTlv(0x80, Uint8Array.of(0)))),
  );
  parseCertificate(
    make({ ca: true, extensions: [{ oid: EXT.nameConstraints, critical: true, value: explicitZero }] }).cert,
  );
});

test("comparisons are bounded", () => {
  const altNames = Array.from({ length: 600 }, (_, i) => `DNS:h${i}.example.org`);
  const excluded = Array.from({ length: 600 }, (_, i) => `DNS:x${i}.example.com`);
  assert.equal(under({ excluded }, { altNames }), "CERT_CHAIN_TOO_LONG");
  const budget = { checks: MAX_NAME_CONSTRAINT_CHECKS - 1 };
  const certificate = parseCertificate(make({ altNames: ["DNS:a.example", "DNS:b.example"] }).cert);
  const constraint = { kind: "dns", value: "a.example" } as const;
  assert.equal(
    checkNameConstraints({ permitted: [], excluded: [constraint] }, certificate, budget)?.certificateReason,
    OUT,
  );
});
