// Mutated certificates, extensions and PEM: only typed errors, whatever the bytes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { DER_SEQUENCE, derTlv, readDer } from "../../../internal/crypto/der.ts";
import { InvalidOptionError } from "../../../internal/protocol/errors.ts";
import { drawInt, type RandomSource } from "../../../internal/protocol/random.ts";
import { loadIdentity } from "../../../internal/tls/identity.ts";
import { EXT } from "../../../internal/tls/x509/oid.ts";
import { parseCertificate, parseCertificateUncached } from "../../../internal/tls/x509/parse.ts";
import { loadTrustAnchors, verifyChain } from "../../../internal/tls/x509/path.ts";
import { PeerCertificate } from "../../../internal/tls/x509/peer-certificate.ts";
import { CertificateFormatError } from "../../../internal/tls/x509/reasons.ts";
import { intermediate, leaf, make, NOW, pem, provider, root, seeded } from "./helpers.ts";

const SEED = Number(process.env.SEED ?? 5280);

const ROOT = root();
const MIDDLE = intermediate(ROOT, {
  nameConstraints: {
    permitted: [
      "DNS:example.org",
      "IP:192.0.2.0/24",
      "email:example.org",
      "URI:.example.org",
      "dirName:CN=leaf",
    ],
    excluded: ["DNS:bad.example.net", "IP:2001:db8::/32"],
  },
  policies: ["1.2.3", "2.23.140.1.2.1"],
  pathLength: 2,
});
const LEAF = leaf(MIDDLE, {
  altNames: [
    "example.org",
    "*.example.org",
    "IP:192.0.2.1",
    "email:a@example.org",
    "URI:https://a.example.org/",
  ],
});

/** One to four small harms. */
function mutate(bytes: Uint8Array, random: RandomSource): Uint8Array {
  let out = bytes.slice();
  for (let n = 1 + drawInt(random, 4); n > 0; n--) {
    const at = drawInt(random, Math.max(1, out.length));
    switch (drawInt(random, 7)) {
      case 0:
        out[at]! ^= 1 << drawInt(random, 8);
        break;
      case 1:
        out[at] = drawInt(random, 256);
        break;
      case 2:
        out[at] = [0, 0x7f, 0x80, 0xff, 0x30, 0x1f, 0x84][drawInt(random, 7)]!;
        break;
      case 3:
        out = out.slice(0, at);
        break;
      case 4:
        out = Uint8Array.from([...out.subarray(0, at), drawInt(random, 256), ...out.subarray(at)]);
        break;
      case 5:
        out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(at + 1)]);
        break;
      default: {
        const from = drawInt(random, Math.max(1, out.length));
        out.copyWithin(at, from, Math.min(out.length, from + drawInt(random, 32)));
      }
    }
  }
  return out;
}

/** A mutation inside one element, with the lengths around it put right: these reach deeper. */
function mutateInside(bytes: Uint8Array, random: RandomSource): Uint8Array {
  let items;
  try {
    items = readDer(bytes);
  } catch {
    return mutate(bytes, random);
  }
  if (items.length === 0) return mutate(bytes, random);
  const chosen = drawInt(random, items.length);
  const parts = items.map((item, i) => {
    if (i !== chosen) return item.raw;
    const inside = (item.tag & 0x20) !== 0 || item.tag === 0x04;
    if (inside && drawInt(random, 6) > 0) return derTlv(item.tag, mutateInside(item.value, random));
    switch (drawInt(random, 5)) {
      case 0:
        return derTlv(drawInt(random, 256), item.value);
      case 1:
        return new Uint8Array(0);
      case 2:
        return Uint8Array.from([...item.raw, ...item.raw]);
      case 3:
        return derTlv(item.tag);
      default:
        return derTlv(item.tag, mutate(item.value, random));
    }
  });
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function parses(der: Uint8Array, note: string): boolean {
  try {
    const certificate = parseCertificateUncached(der);
    const shown = new PeerCertificate(certificate, provider);
    // Whatever was accepted can be shown.
    void [
      shown.subject,
      shown.issuer,
      shown.subjectaltname,
      shown.valid_from,
      shown.serialNumber,
      shown.bits,
    ];
    void certificate.subject.toString();
    return true;
  } catch (error) {
    assert.ok(error instanceof CertificateFormatError, `${note}: ${String((error as Error).stack)}`);
    return false;
  }
}

test("certificates", () => {
  const random = seeded(SEED);
  const corpus = [ROOT, MIDDLE, LEAF].map(({ cert }) => cert);
  let accepted = 0;
  const rounds = 5000;
  for (let i = 0; i < rounds; i++) {
    const der = (i & 1) === 0 ? mutate(corpus[i % 3]!, random) : mutateInside(corpus[i % 3]!, random);
    if (parses(der, `seed ${SEED}, round ${i}`)) accepted++;
  }
  assert.ok(accepted > 100 && accepted < rounds, `${accepted} of ${rounds}`);
});

test("random bytes in every extension we know", () => {
  const random = seeded(SEED + 1);
  const bare = {
    noBasicConstraints: true,
    keyUsage: null,
    extendedKeyUsage: null,
    noKeyIdentifiers: true,
  } as const;
  // One signature for all: it is not looked at.
  const template = make({ ...bare, extensions: [{ oid: "1.2.3.4", value: new Uint8Array(40) }] });
  const [tbs, algorithm, signature] = readDer(readDer(template.cert)[0]!.value);
  const fields = readDer(tbs!.value).slice(0, 7);
  const values = [
    ...parseCertificate(MIDDLE.cert).extensions.all,
    ...parseCertificate(LEAF.cert).extensions.all,
  ];
  const oids = Object.values(EXT);
  for (let i = 0; i < 2500; i++) {
    const oid = oids[drawInt(random, oids.length)]!;
    const same = values.filter(([name]) => name === oid);
    const source = same.length > 0 ? same : values;
    const value = mutateInside(source[drawInt(random, source.length)]![1].value, random);
    const inner = readDer(rawExtension(oid, value))[0]!.raw;
    const list = derTlv(0xa3, derTlv(DER_SEQUENCE, inner));
    const cert = derTlv(
      DER_SEQUENCE,
      derTlv(DER_SEQUENCE, ...fields.map((field) => field.raw), list),
      algorithm!.raw,
      signature!.raw,
    );
    parses(cert, `seed ${SEED + 1}, round ${i}`);
  }
});

function rawExtension(oid: string, value: Uint8Array): Uint8Array {
  const dotted = oid.split(".").map(Number);
  return derTlv(
    DER_SEQUENCE,
    derTlv(6, Uint8Array.of(40 * dotted[0]! + dotted[1]!, ...dotted.slice(2))),
    derTlv(4, value),
  );
}

test("chains: a verdict, never an exception, and never acceptance", () => {
  const random = seeded(SEED + 2);
  const anchors = loadTrustAnchors([ROOT.cert]);
  const input = { anchors, now: NOW, purpose: "server", serverName: "example.org" } as const;
  assert.deepEqual(verifyChain(provider, { ...input, chain: [LEAF.cert, MIDDLE.cert] }), { ok: true });
  for (let i = 0; i < 2500; i++) {
    const harm = drawInt(random, 3);
    const end = harm !== 1 ? mutateInside(LEAF.cert, random) : LEAF.cert;
    const middle = harm !== 0 ? mutateInside(MIDDLE.cert, random) : MIDDLE.cert;
    const same = Buffer.compare(end, LEAF.cert) === 0 && Buffer.compare(middle, MIDDLE.cert) === 0;
    const result = verifyChain(provider, { ...input, chain: [end, middle] });
    assert.equal(result.ok, same, `seed ${SEED + 2}, round ${i}`);
    if (!result.ok) assert.ok(result.reason.length > 0 && result.reason.length < 1000);
  }
});

test("PEM, keys and authorities", () => {
  const random = seeded(SEED + 3);
  const text = Buffer.from(pem(LEAF, MIDDLE), "latin1");
  for (let i = 0; i < 800; i++) {
    const cert =
      (i & 1) === 0 ? Buffer.from(mutate(text, random)).toString("latin1") : mutate(LEAF.cert, random);
    const key = (i & 2) === 0 ? LEAF.key : mutate(LEAF.key, random);
    for (const load of [() => loadIdentity(provider, { cert, key }), () => loadTrustAnchors([cert])]) {
      try {
        load();
      } catch (error) {
        assert.ok(
          error instanceof InvalidOptionError,
          `seed ${SEED + 3}, round ${i}: ${String((error as Error).stack)}`,
        );
      }
    }
  }
});
