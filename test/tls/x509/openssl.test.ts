// The second opinion: `openssl verify` over the same chains. Skipped by name where there is no openssl.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { CertificateAndKey } from "../../../internal/tls/self-signed.ts";
import { intermediate, leaf, make, NOW, pem, root, seeded, verdict, YEAR, type Options } from "./helpers.ts";

const version = spawnSync("openssl", ["version"], { encoding: "utf8" });
// 3.x: earlier ones differ in small things.
const skip = /^OpenSSL 3\./.test(version.stdout ?? "") ? {} : { skip: "openssl 3 is absent" };
const folder = mkdtempSync(join(tmpdir(), "quic-ts-x509-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** What openssl says: "ok" or its message. */
function openssl(
  chain: readonly CertificateAndKey[],
  anchors: readonly CertificateAndKey[],
  extra: readonly string[] = [],
): string {
  const write = (name: string, certificates: readonly CertificateAndKey[]): string => {
    const path = join(folder, name);
    writeFileSync(path, pem(...certificates));
    return path;
  };
  const [end, ...rest] = chain;
  const args = ["verify", "-CAfile", write("ca", anchors), "-no-CApath", "-no-CAstore", "-partial_chain"];
  args.push("-attime", String(NOW / 1000), "-purpose", "sslserver", "-auth_level", "2");
  if (rest.length > 0) args.push("-untrusted", write("untrusted", rest));
  const { status, stdout, stderr } = spawnSync("openssl", [...args, ...extra, write("leaf", [end!])], {
    encoding: "utf8",
  });
  if (status === 0) return "ok";
  return /error \d+ at.*?: (.*)/.exec(stdout + stderr)?.[1] ?? stdout + stderr;
}

const ROOT = root();
const MIDDLE = intermediate(ROOT);

test("reasons, side by side", skip, () => {
  const old = intermediate(ROOT, { notBefore: NOW - 2 * YEAR, notAfter: NOW - YEAR });
  const limited = root({ pathLength: 0 });
  const below = intermediate(limited);
  const constrained = intermediate(ROOT, { nameConstraints: { permitted: ["DNS:example.org"] } });
  const excluding = intermediate(ROOT, { nameConstraints: { excluded: ["DNS:example.org"] } });
  const critical = { oid: "1.3.6.1.4.1.55555.1", critical: true, value: Uint8Array.of(5, 0) };
  const notSigning = intermediate(ROOT, { keyUsage: ["digitalSignature"] });
  const noAuthority = leaf(MIDDLE, { subject: "CN=No Authority" });
  const end = make({ altNames: ["example.org"] });
  const rows: [chain: CertificateAndKey[], anchors: CertificateAndKey[], ours: string, theirs: RegExp][] = [
    [[leaf(MIDDLE), MIDDLE], [ROOT], "ok", /^ok$/],
    [[leaf(MIDDLE)], [MIDDLE], "ok", /^ok$/],
    [[end], [end], "ok", /^ok$/],
    [[leaf(MIDDLE)], [ROOT], "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", /unable to get local issuer certificate/],
    [[end], [ROOT], "DEPTH_ZERO_SELF_SIGNED_CERT", /self-signed certificate/],
    [
      [leaf(MIDDLE), MIDDLE, ROOT],
      [root({ subject: "CN=Other" })],
      "SELF_SIGNED_CERT_IN_CHAIN",
      /self-signed certificate in certificate chain/,
    ],
    [[leaf(old), old], [ROOT], "CERT_HAS_EXPIRED", /certificate has expired/],
    [[leaf(MIDDLE, { notBefore: NOW + 5000 }), MIDDLE], [ROOT], "CERT_NOT_YET_VALID", /not yet valid/],
    [[leaf(below), below], [limited], "PATH_LENGTH_EXCEEDED", /path length constraint exceeded/],
    [
      [leaf(notSigning), notSigning],
      [ROOT],
      "INVALID_CA",
      /invalid CA certificate|unable to get local issuer/,
    ],
    [[leaf(noAuthority), noAuthority, MIDDLE], [ROOT], "INVALID_CA", /invalid CA certificate/],
    [
      [leaf(MIDDLE, { extendedKeyUsage: ["clientAuth"] }), MIDDLE],
      [ROOT],
      "INVALID_PURPOSE",
      /unsuitable certificate purpose|unsupported certificate purpose/,
    ],
    [
      [leaf(constrained, { altNames: ["example.com"] }), constrained],
      [ROOT],
      "PERMITTED_VIOLATION",
      /permitted subtree violation/,
    ],
    [[leaf(excluding), excluding], [ROOT], "EXCLUDED_VIOLATION", /excluded subtree violation/],
    [
      [leaf(MIDDLE, { extensions: [critical] }), MIDDLE],
      [ROOT],
      "UNHANDLED_CRITICAL_EXTENSION",
      /unhandled critical extension/,
    ],
    [
      [leaf(MIDDLE, { faults: { signature: true } }), MIDDLE],
      [ROOT],
      "CERT_SIGNATURE_FAILURE",
      /certificate signature failure/,
    ],
  ];
  for (const [chain, anchors, ours, theirs] of rows) {
    const purpose = { purpose: "server", checkServerIdentity: () => undefined } as const;
    assert.equal(verdict(chain, anchors, purpose), ours);
    assert.match(openssl(chain, anchors), theirs, ours);
  }
});

test("host names", skip, () => {
  const end = leaf(MIDDLE, { altNames: ["example.org", "*.example.net", "IP:192.0.2.1"] });
  for (const name of ["example.org", "www.example.org", "a.example.net", "a.b.example.net", "example.net"]) {
    const ours = verdict([end, MIDDLE], [ROOT], { serverName: name });
    assert.equal(ours === "ok", openssl([end, MIDDLE], [ROOT], ["-verify_hostname", name]) === "ok", name);
  }
  for (const ip of ["192.0.2.1", "192.0.2.2"]) {
    const ours = verdict([end, MIDDLE], [ROOT], { serverName: ip });
    assert.equal(ours === "ok", openssl([end, MIDDLE], [ROOT], ["-verify_ip", ip]) === "ok", ip);
  }
});

test("verdicts agree over random chains", skip, () => {
  const seed = Number(process.env.SEED ?? 20250615);
  const random = seeded(seed);
  const byte = new Uint8Array(1);
  const pick = <T>(...choices: readonly T[]): T => {
    random(byte);
    return choices[byte[0]! % choices.length]!;
  };
  const constraints = (): Options =>
    pick<Options>(
      {},
      {},
      { nameConstraints: { permitted: ["DNS:example.org"] } },
      { nameConstraints: { permitted: ["DNS:.example.org", "DNS:example.com"] } },
      { nameConstraints: { excluded: ["DNS:a.example.org", "email:.example.com"] } },
      { nameConstraints: { permitted: ["IP:192.0.2.0/24"], excluded: ["IP:192.0.2.128/25"] } },
      { nameConstraints: { permitted: ["dirName:O=Tests"] } },
      { nameConstraints: { permitted: ["email:example.org", "URI:.example.org"] } },
    );
  const authority = (): Options => ({
    ...constraints(),
    ...pick<Options>({}, {}, {}, { pathLength: 0 }, { pathLength: 1 }),
    ...pick<Options>({}, {}, {}, { keyUsage: ["keyCertSign"] }, { keyUsage: null }),
    ...pick<Options>({}, {}, {}, { extendedKeyUsage: ["serverAuth"] }, { extendedKeyUsage: ["clientAuth"] }),
    ...pick<Options>({}, {}, {}, {}, {}, { notAfter: NOW - 86_400_000 }),
    ...pick<Options>({}, {}, { keyType: "ec-p384" }, { keyType: "ed25519" }),
  });
  let accepted = 0;
  const rounds = 70;
  for (let round = 0; round < rounds; round++) {
    const top = root(authority());
    const chain: CertificateAndKey[] = [];
    let issuer = top;
    for (let i = pick(0, 1, 1, 2); i > 0; i--) {
      issuer = intermediate(issuer, {
        ...authority(),
        subject: pick(`CN=I${i}, O=Tests`, `O=Tests, CN=I${i}`),
      });
      chain.unshift(issuer);
    }
    const end = leaf(issuer, {
      subject: [
        ["O", pick("Tests", "Tests", "Others")],
        ["CN", "leaf"],
      ],
      altNames: [
        pick("example.org", "a.example.org", "b.a.example.org", "example.com"),
        ...pick<string[]>([], [], ["IP:192.0.2.1"], ["IP:192.0.2.200"], ["IP:2001:db8::1"]),
        ...pick<string[]>([], [], ["email:x@example.org"], ["email:x@a.example.com"]),
        ...pick<string[]>([], [], ["URI:https://www.example.org/x"], ["URI:https://example.com/"]),
      ],
      ...pick<Options>({}, {}, {}, { extendedKeyUsage: null }, { extendedKeyUsage: ["clientAuth"] }),
      ...pick<Options>({}, {}, {}, {}, { notBefore: NOW + 1000 }),
    });
    const ours = verdict([end, ...chain], [top], { checkServerIdentity: () => undefined });
    const theirs = openssl([end, ...chain], [top]);
    if (ours === "ok") accepted++;
    assert.equal(
      ours === "ok",
      theirs === "ok",
      `seed ${seed}, round ${round}: ours ${ours}, theirs ${theirs}`,
    );
  }
  assert.ok(accepted > 5 && accepted < rounds - 5, `seed ${seed}: ${accepted} accepted`);
});
