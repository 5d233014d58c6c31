import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { matchDnsName, matchHostname, normalizeHostname } from "../../../internal/tls/x509/hostname.ts";
import { formatIp, parseIp } from "../../../internal/tls/x509/ip.ts";
import { parseCertificate } from "../../../internal/tls/x509/parse.ts";
import { make } from "./helpers.ts";

// rfc6125#6.4.3, rfc9525#6.3
test("DNS names and wildcards", () => {
  const rows: [pattern: string, name: string, expected: boolean][] = [
    ["example.org", "example.org", true],
    ["EXAMPLE.org", "example.ORG.", true],
    ["example.org.", "example.org", true],
    ["example.org", "www.example.org", false],
    ["*.example.org", "www.example.org", true],
    ["*.example.org", "example.org", false],
    ["*.example.org", "a.b.example.org", false],
    ["*.example.org", ".example.org", false],
    ["w*.example.org", "www.example.org", false],
    ["*w.example.org", "www.example.org", false],
    ["www.*.org", "www.example.org", false],
    ["*.*.org", "www.example.org", false],
    ["*", "localhost", false],
    ["*.org", "example.org", false],
    ["*.co.uk", "example.co.uk", true],
    ["xn--*.example.org", "xn--a.example.org", false],
    ["*.example.org", "xn--bcher-kva.example.org", true],
    ["", "", false],
    ["*.", "a.", false],
    ["ex ample.org", "ex ample.org", false],
    ["_srv.example.org", "_srv.example.org", true],
    ["example.org\0.evil.com", "example.org", false],
  ];
  for (const [pattern, name, expected] of rows) {
    const reference = normalizeHostname(name);
    const got = reference !== null && matchDnsName(pattern, reference);
    assert.equal(got, expected, `${pattern} / ${name}`);
  }
});

test("names in other scripts are compared as A-labels", () => {
  assert.equal(normalizeHostname("Bücher.example"), "xn--bcher-kva.example");
  assert.equal(normalizeHostname("xn--bcher-kva.example"), "xn--bcher-kva.example");
  const cert = parseCertificate(make({ altNames: ["DNS:xn--bcher-kva.example"] }).cert);
  assert.equal(matchHostname("bücher.example", cert.extensions.altNames), null);
});

// rfc9525#6.4
test("IP addresses match iPAddress alone, octet by octet", () => {
  const ip = parseCertificate(make({ altNames: ["IP:192.0.2.1", "IP:2001:db8::1"] }).cert).extensions
    .altNames;
  assert.equal(matchHostname("192.0.2.1", ip), null);
  assert.equal(matchHostname("2001:DB8:0:0::1", ip), null);
  assert.equal(matchHostname("[2001:db8::1]", ip), null);
  assert.notEqual(matchHostname("192.0.2.2", ip), null);
  assert.notEqual(matchHostname("::ffff:192.0.2.1", ip), null);
  const spelled = parseCertificate(make({ altNames: ["DNS:192.0.2.1", "DNS:*.0.2.1"] }).cert).extensions
    .altNames;
  assert.notEqual(matchHostname("192.0.2.1", spelled), null);
});

// rfc9525#2: the common name is nobody's identity.
test("the common name counts for nothing", () => {
  const cert = parseCertificate(make({ subject: "CN=example.org" }).cert);
  const error = matchHostname("example.org", cert.extensions.altNames);
  assert.equal(error?.code, "ERR_TLS_CERT_ALTNAME_INVALID");
  assert.equal(
    error?.message,
    "Hostname/IP does not match certificate's altnames: Cert does not contain a DNS name",
  );
});

test("messages are those of node:tls", () => {
  const cert = parseCertificate(make({ altNames: ["a.example", "*.b.example", "IP:10.0.0.1"] }).cert);
  assert.equal(
    matchHostname("c.example", cert.extensions.altNames)?.reason,
    "Host: c.example. is not in the cert's altnames: DNS:a.example, DNS:*.b.example",
  );
  assert.equal(
    matchHostname("10.0.0.2", cert.extensions.altNames)?.reason,
    "IP: 10.0.0.2 is not in the cert's list: 10.0.0.1",
  );
  assert.equal(matchHostname("a b", cert.extensions.altNames)?.reason, '"a b" is not a host name');
});

test("OpenSSL agrees about names and addresses", () => {
  const patterns = [
    "example.org",
    "*.example.org",
    "*.org",
    "*",
    "a.*.org",
    "*.a.example.org",
    "xn--80ak6aa92e.com",
  ];
  const names = [
    "example.org",
    "www.example.org",
    "a.b.example.org",
    "b.a.example.org",
    "EXAMPLE.ORG",
    "org",
    "a.example.org",
    "xn--80ak6aa92e.com",
    "xn--80ak6aa92e.example.org",
    "example.com",
    "localhost",
  ];
  for (const pattern of patterns) {
    const { cert } = make({ subject: "CN=x", altNames: [`DNS:${pattern}`, "IP:10.1.2.3", "IP:::1"] });
    const ours = parseCertificate(cert).extensions.altNames;
    const theirs = new X509Certificate(cert);
    for (const name of names) {
      const options = { partialWildcards: false, subject: "never" } as const;
      assert.equal(
        matchHostname(name, ours) === null,
        theirs.checkHost(name, options) !== undefined,
        `${pattern} / ${name}`,
      );
    }
    for (const ip of ["10.1.2.3", "10.1.2.4", "::1", "::2", "0:0:0:0:0:0:0:1"]) {
      assert.equal(matchHostname(ip, ours) === null, theirs.checkIP(ip) !== undefined, ip);
    }
  }
});

test("IP addresses are read strictly", () => {
  for (const text of [
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "256.1.1.1",
    "1.2.3.-4",
    " 1.2.3.4",
    "1.2.3.4/8",
    "0x1.2.3.4",
  ]) {
    assert.equal(parseIp(text), null, text);
  }
  for (const text of [
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    "::g",
    "1:2:3:4:5:6:7:8::",
    "::1%eth0",
    "[1.2.3.4]",
    ":1::",
    "1:2:3:4:5:6:7:1.2.3.4",
  ]) {
    assert.equal(parseIp(text), null, text);
  }
  const v6: [string, string][] = [
    ["::", "0:0:0:0:0:0:0:0"],
    ["::1", "0:0:0:0:0:0:0:1"],
    ["1::", "1:0:0:0:0:0:0:0"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::ffff:192.0.2.1", "0:0:0:0:0:FFFF:C000:201"],
    ["2001:DB8::a:B", "2001:DB8:0:0:0:0:A:B"],
  ];
  for (const [text, full] of v6) assert.equal(formatIp(parseIp(text)!), full, text);
  assert.deepEqual(parseIp("192.0.2.255"), Uint8Array.of(192, 0, 2, 255));
});
