// RFC 9001 A and RFC 9369 A, packet by packet, with both providers.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hkdfExpandLabel } from "../../internal/crypto/hkdf.ts";
import { AES_128_GCM_SHA256, CHACHA20_POLY1305_SHA256 } from "../../internal/crypto/suites.ts";
import { initialSecrets } from "../../internal/handshake/initial.ts";
import { nextSecret } from "../../internal/handshake/packet-keys.ts";
import { PacketProtection } from "../../internal/handshake/protection.ts";
import { retryIntegrityTag, verifyRetry } from "../../internal/handshake/retry.ts";
import { fromHex, toHex } from "../../internal/protocol/bytes.ts";
import { APPLICATION, INITIAL, VERSION_1, VERSION_2 } from "../../internal/protocol/constants.ts";
import { needsVectors, vectorJson } from "../vectors.ts";
import { REAL } from "../crypto/helpers.ts";

type Fields = Readonly<Record<string, string>>;
interface Appendix {
  readonly dcid: string;
  readonly client: Fields;
  readonly server: Fields;
  readonly client_initial: Fields;
  readonly server_initial: Fields;
  readonly retry: Fields;
  readonly chacha20_short_header: Fields;
}

for (const [file, version, prefix] of [
  ["rfc9001-appendix-a.json", VERSION_1, "quic"],
  ["rfc9369-appendix-a.json", VERSION_2, "quicv2"],
] as const) {
  for (const provider of REAL) {
    const name = (what: string) => `${file} ${what}: ${provider.name}`;
    const load = () => vectorJson<Appendix>("rfc", file);
    const skip = needsVectors("rfc", file);

    test(name("initial keys"), skip, () => {
      const vectors = load();
      const secrets = initialSecrets(provider, version, fromHex(vectors.dcid));
      for (const side of ["client", "server"] as const) {
        const secret = secrets[side];
        assert.equal(toHex(secret), vectors[side]["secret"]);
        for (const [label, length] of [
          ["key", 16],
          ["iv", 12],
          ["hp", 16],
        ] as const) {
          const derived = hkdfExpandLabel(
            provider,
            "sha256",
            secret,
            `${prefix} ${label}`,
            undefined,
            length,
          );
          assert.equal(toHex(derived), vectors[side][label]);
        }
      }
    });

    test(name("initial packets"), skip, () => {
      const vectors = load();
      for (const [from, to, packet] of [
        ["client", "server", vectors.client_initial],
        ["server", "client", vectors.server_initial],
      ] as const) {
        const sender = new PacketProtection(provider, from, version);
        const receiver = new PacketProtection(provider, to, version);
        sender.installInitial(version, fromHex(vectors.dcid));
        receiver.installInitial(version, fromHex(vectors.dcid));
        const header = fromHex(packet["unprotected_header"]!);
        const expected = fromHex(packet["protected_packet"]!);
        const pnLength = (header[0]! & 3) + 1;
        const pnOffset = header.length - pnLength;
        const pn = Number(packet["packet_number"]);
        // In the middle of a slab, payload padded with zeros as A.2 says.
        const start = 10;
        const buf = new Uint8Array(start + expected.length + 10);
        buf.set(header, start);
        buf.set(fromHex(packet["crypto_frame"] ?? packet["payload"]!), start + header.length);
        const plain = buf.slice();
        const payloadEnd = start + expected.length - 16;
        const end = sender.seal(INITIAL, buf, start, start + pnOffset, pnLength, payloadEnd, pn);
        assert.equal(end, start + expected.length);
        assert.equal(toHex(buf.subarray(start, start + header.length)), packet["unprotected_header"]);
        sender.maskPending();
        assert.equal(toHex(buf.subarray(start, end)), packet["protected_packet"]);
        assert.ok(receiver.unprotectHeader(INITIAL, buf, start, start + pnOffset, end, -1));
        assert.equal(receiver.pn, pn);
        assert.equal(receiver.pnLength, pnLength);
        assert.equal(receiver.reservedBitsSet, false);
        const length = receiver.open(INITIAL, buf, start, start + pnOffset, end);
        assert.equal(length, payloadEnd - start - header.length);
        assert.equal(toHex(buf.subarray(0, payloadEnd)), toHex(plain.subarray(0, payloadEnd)));
      }
    });

    test(name("retry"), skip, () => {
      const { retry } = load();
      const packet = fromHex(retry["packet"]!);
      const odcid = fromHex(retry["original_dcid"]!);
      const tag = retryIntegrityTag(provider, version, odcid, packet.subarray(0, packet.length - 16));
      assert.equal(toHex(tag), toHex(packet.subarray(packet.length - 16)));
      assert.equal(verifyRetry(provider, version, odcid, packet), true);
      // rfc9001#5.8 a client MUST discard a Retry whose integrity tag does not validate.
      for (let i = 0; i < packet.length; i++) {
        const bad = packet.slice();
        bad[i]! ^= 1;
        assert.equal(verifyRetry(provider, version, odcid, bad), false);
      }
      assert.equal(verifyRetry(provider, version, odcid.subarray(1), packet), false);
      const other = version === VERSION_1 ? VERSION_2 : VERSION_1;
      assert.equal(verifyRetry(provider, other, odcid, packet), false);
      assert.equal(verifyRetry(provider, version, odcid, packet.subarray(0, 15)), false);
    });

    test(name("chacha20 short header"), skip, () => {
      const vector = load().chacha20_short_header;
      const secret = fromHex(vector["secret"]!);
      assert.equal(toHex(nextSecret(provider, CHACHA20_POLY1305_SHA256, version, secret)), vector["ku"]);
      const sender = new PacketProtection(provider, "server", version);
      const receiver = new PacketProtection(provider, "client", version);
      sender.install(APPLICATION, CHACHA20_POLY1305_SHA256, null, secret);
      receiver.install(APPLICATION, CHACHA20_POLY1305_SHA256, secret, null);
      const buf = new Uint8Array(21);
      buf.set(fromHex(vector["unprotected_header"]!));
      buf.set(fromHex(vector["payload_plaintext"]!), 4);
      const pn = Number(vector["pn"]);
      assert.equal(sender.seal(APPLICATION, buf, 0, 1, 3, 5, pn), 21);
      sender.maskPending();
      assert.equal(toHex(buf), vector["packet"]);
      const [starts, pnOffsets, ends] = [Int32Array.of(0), Int32Array.of(1), Int32Array.of(21)];
      receiver.unprotectHeaders(APPLICATION, buf, starts, pnOffsets, ends, 1);
      receiver.readPacketNumber(APPLICATION, buf, 0, 1, pn - 1);
      assert.equal(receiver.pn, pn);
      assert.equal(receiver.open(APPLICATION, buf, 0, 1, 21), 1);
      assert.equal(buf[4], 1);
    });
  }
}

test("the versions' keys differ", () => {
  const [a, b] = [VERSION_1, VERSION_2].map((version) => {
    const protection = new PacketProtection(REAL[0]!, "client", version);
    protection.install(APPLICATION, AES_128_GCM_SHA256, null, new Uint8Array(32));
    const buf = new Uint8Array(64);
    protection.seal(APPLICATION, buf, 0, 9, 1, 30, 0);
    protection.maskPending();
    return toHex(buf);
  });
  assert.notEqual(a, b);
});
