import assert from "node:assert/strict";
import { test } from "node:test";
import { concatBytes, fromHex, toHex } from "../../internal/protocol/bytes.ts";
import { TRANSPORT_PARAMETER_ERROR, type Role } from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { MAX_TRACED_PARAMETERS } from "../../internal/protocol/limits.ts";
import {
  decodeTransportParameters,
  defaultTransportParameters,
  encodeTransportParameters,
  type TransportParameters,
} from "../../internal/wire/transport-parameters.ts";
import { writeVarintBig } from "../../internal/wire/varint.ts";

const TOKEN = fromHex("000102030405060708090a0b0c0d0e0f");

function varint(value: number | bigint): Uint8Array {
  const buf = new Uint8Array(8);
  return buf.slice(0, writeVarintBig(buf, 0, BigInt(value)));
}

function parameter(id: number | bigint, value: Uint8Array | string): Uint8Array {
  const bytes = typeof value === "string" ? fromHex(value) : value;
  return concatBytes(varint(id), varint(bytes.length), bytes);
}

const integer = (id: number, value: number | bigint) => parameter(id, varint(value));

function fails(bytes: Uint8Array, peerRole: Role = "server", about?: RegExp): void {
  assert.throws(
    () => decodeTransportParameters(bytes, peerRole),
    (error: unknown) => {
      assert.ok(error instanceof TransportError, String(error));
      assert.equal(error.errorCode, TRANSPORT_PARAMETER_ERROR, error.message);
      if (about !== undefined) assert.match(error.message, about);
      return true;
    },
    toHex(bytes),
  );
}

const decode = (bytes: Uint8Array, role: Role = "server") => decodeTransportParameters(bytes, role);

test("nothing sent means the defaults", () => {
  // rfc9000#18.2 default value of 0 if absent, unless otherwise stated: 65527, 3, 25, 2
  const expected: TransportParameters = {
    maxIdleTimeout: 0,
    maxUdpPayloadSize: 65527,
    initialMaxData: 0,
    initialMaxStreamDataBidiLocal: 0,
    initialMaxStreamDataBidiRemote: 0,
    initialMaxStreamDataUni: 0,
    initialMaxStreamsBidi: 0,
    initialMaxStreamsUni: 0,
    ackDelayExponent: 3,
    maxAckDelay: 25,
    disableActiveMigration: false,
    activeConnectionIdLimit: 2,
    maxDatagramFrameSize: 0,
    greaseQuicBit: false,
    resetStreamAt: false,
  };
  assert.deepEqual(decode(new Uint8Array(0)), expected);
  assert.deepEqual(defaultTransportParameters(), expected);
  assert.equal(encodeTransportParameters(expected, "client").length, 0);
});

test("what is written is read", () => {
  const full: TransportParameters = {
    originalDestinationConnectionId: fromHex("8394c8f03e515708"),
    maxIdleTimeout: 30_000,
    statelessResetToken: TOKEN,
    maxUdpPayloadSize: 1452,
    initialMaxData: 786_432,
    initialMaxStreamDataBidiLocal: 1,
    initialMaxStreamDataBidiRemote: 64,
    initialMaxStreamDataUni: 2 ** 40,
    initialMaxStreamsBidi: 100,
    initialMaxStreamsUni: Number.MAX_SAFE_INTEGER,
    ackDelayExponent: 20,
    maxAckDelay: 2 ** 14 - 1,
    disableActiveMigration: true,
    preferredAddress: {
      ipv4: { ip: "192.0.2.7", port: 4433 },
      ipv6: { ip: "2001:db8::7", port: 4434 },
      connectionId: fromHex("0102030405"),
      statelessResetToken: TOKEN,
    },
    activeConnectionIdLimit: 4,
    initialSourceConnectionId: fromHex("f067a5502a4262b5"),
    retrySourceConnectionId: new Uint8Array(0),
    maxDatagramFrameSize: 65535,
    versionInformation: { chosen: 1, available: [0x6b3343cf, 1, 0x1a2a3a4a] },
    greaseQuicBit: true,
    minAckDelay: 1000,
    resetStreamAt: true,
  };
  assert.deepEqual(decode(encodeTransportParameters(full, "server")), full);
  // rfc9000#18.2 a client MUST NOT include any server-only transport parameter
  const fromClient = decode(encodeTransportParameters(full, "client"), "client");
  const rest: Partial<TransportParameters> = { ...full };
  delete rest.originalDestinationConnectionId;
  delete rest.statelessResetToken;
  delete rest.preferredAddress;
  delete rest.retrySourceConnectionId;
  assert.deepEqual(fromClient, rest);
});

test("limits beyond 2^53−1 clip, on both ways", () => {
  const max = 2n ** 62n - 1n;
  for (const [id, name] of [
    [0x01, "maxIdleTimeout"],
    [0x03, "maxUdpPayloadSize"],
    [0x04, "initialMaxData"],
    [0x05, "initialMaxStreamDataBidiLocal"],
    [0x06, "initialMaxStreamDataBidiRemote"],
    [0x07, "initialMaxStreamDataUni"],
    [0x0e, "activeConnectionIdLimit"],
    [0x20, "maxDatagramFrameSize"],
  ] as const) {
    assert.equal(decode(integer(id, max))[name], Number.MAX_SAFE_INTEGER, name);
  }
  const own = { ...defaultTransportParameters(), initialMaxData: Infinity };
  assert.equal(decode(encodeTransportParameters(own, "client")).initialMaxData, Number.MAX_SAFE_INTEGER);
});

test("an endpoint may send any bytes under an ID that nobody knows", () => {
  // rfc9000#7.4.2 an endpoint MUST ignore transport parameters that it does not support
  // rfc9000#18.1 31 * N + 27 are reserved to exercise the requirement that unknown transport parameters be ignored
  const extra = [
    { id: 27, value: fromHex("deadbeef") },
    { id: 31 * 1_000_003 + 27, value: new Uint8Array(0) },
  ];
  const bytes = concatBytes(
    encodeTransportParameters({ ...defaultTransportParameters(), maxIdleTimeout: 5, extra }, "client"),
    parameter(2n ** 62n - 1n, "00"),
  );
  const decoded = decode(bytes, "client");
  assert.equal(decoded.maxIdleTimeout, 5);
  assert.deepEqual(decoded.unknown, [
    { id: 27, length: 4 },
    { id: 31 * 1_000_003 + 27, length: 0 },
  ]);
  const many = concatBytes(...Array.from({ length: 1000 }, (_, i) => parameter(1000 + i, "")));
  assert.equal(decode(many).unknown!.length, MAX_TRACED_PARAMETERS);
});

test("IDs and lengths need not be in their shortest form", () => {
  // rfc9000#16 values do not need to be encoded on the minimum number of bytes necessary
  assert.equal(decode(fromHex("4001" + "80000002" + "4005")).maxIdleTimeout, 5);
  assert.equal(decode(fromHex("0108" + "c000000000000005")).maxIdleTimeout, 5);
});

test("duplicates", () => {
  // rfc9000#7.4 MUST NOT send a parameter more than once; SHOULD treat as TRANSPORT_PARAMETER_ERROR
  fails(concatBytes(integer(1, 5), integer(1, 5)), "server", /0x1 comes twice/);
  fails(concatBytes(parameter(0x0c, ""), integer(1, 5), parameter(0x0c, "")));
  fails(concatBytes(parameter(27, "00"), parameter(27, "")), "client");
  // Also where the ID is beyond 2^53, and in two encodings of the same ID.
  fails(concatBytes(parameter(2n ** 62n - 1n, ""), parameter(2n ** 62n - 1n, "")));
  decode(concatBytes(parameter(2n ** 62n - 1n, ""), parameter(2n ** 62n - 2n, "")));
  fails(concatBytes(integer(1, 5), fromHex("40010105")));
});

test("server-only parameters from a client", () => {
  // rfc9000#18.2 a server MUST treat receipt of any of these transport parameters as TRANSPORT_PARAMETER_ERROR
  const address = "00".repeat(24) + "01aa" + toHex(TOKEN);
  for (const [id, value] of [
    [0x00, "0102030405060708"],
    [0x02, toHex(TOKEN)],
    [0x0d, address],
    [0x10, "01"],
  ] as const) {
    fails(parameter(id, value), "client", /a client sent/);
    decode(parameter(id, value), "server");
  }
});

test("parameters that are cut off or do not fill their length", () => {
  const whole = concatBytes(
    integer(1, 30_000),
    parameter(2, TOKEN),
    parameter(0x0f, "aabb"),
    integer(4, 2 ** 40),
  );
  const ends: number[] = [];
  for (let end = 0; end < whole.length; end++) {
    try {
      decode(whole.subarray(0, end));
      ends.push(end);
    } catch (error) {
      assert.ok(error instanceof TransportError);
      assert.equal(error.errorCode, TRANSPORT_PARAMETER_ERROR);
    }
  }
  assert.deepEqual(ends, [0, 6, 24, 28], "well-formed at the boundaries alone");
  for (const id of [0x01, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0e, 0x20, 0xff04de1b]) {
    fails(parameter(id, ""), "server", /not one integer/);
    fails(parameter(id, "05ff"), "server", /not one integer/);
    fails(parameter(id, "40"), "server", /not one integer/);
  }
  // A Length up to 2^62−1 neither overflows nor allocates.
  for (const length of ["7fff", "bfffffff", "c01fffffffffffff", "ffffffffffffffff"])
    fails(fromHex(`01${length}05`));
});

test("values that are invalid", () => {
  // rfc9000#18.2 values below 1200 are invalid
  fails(integer(0x03, 1199));
  assert.equal(decode(integer(0x03, 1200)).maxUdpPayloadSize, 1200);
  assert.equal(decode(integer(0x03, 65528)).maxUdpPayloadSize, 65528);
  // rfc9000#18.2 values above 20 are invalid
  fails(integer(0x0a, 21));
  fails(integer(0x0a, 2n ** 62n - 1n));
  assert.equal(decode(integer(0x0a, 20)).ackDelayExponent, 20);
  // rfc9000#18.2 values of 2^14 or greater are invalid
  fails(integer(0x0b, 2 ** 14));
  assert.equal(decode(integer(0x0b, 2 ** 14 - 1)).maxAckDelay, 2 ** 14 - 1);
  // rfc9000#18.2 a value less than 2 MUST close the connection with an error of type TRANSPORT_PARAMETER_ERROR
  fails(integer(0x0e, 0));
  fails(integer(0x0e, 1));
  assert.equal(decode(integer(0x0e, 2)).activeConnectionIdLimit, 2);
  // rfc9000#4.6 a max_streams transport parameter greater than 2^60 MUST be TRANSPORT_PARAMETER_ERROR
  for (const id of [0x08, 0x09]) {
    fails(integer(id, 2n ** 60n + 1n));
    fails(integer(id, 2n ** 62n - 1n));
    decode(integer(id, 2n ** 60n));
    decode(integer(id, 2n ** 53n));
  }
  // rfc9000#18.2 stateless_reset_token is a sequence of 16 bytes
  fails(parameter(0x02, TOKEN.subarray(1)));
  fails(parameter(0x02, concatBytes(TOKEN, TOKEN)));
  // rfc9000#17.2 a connection ID has 20 bytes at most
  for (const id of [0x00, 0x0f, 0x10]) {
    fails(parameter(id, "aa".repeat(21)));
    decode(parameter(id, "aa".repeat(20)));
    decode(parameter(id, ""));
  }
  // rfc9000#18.2 this parameter is a zero-length value
  fails(parameter(0x0c, "00"));
  // rfc9287#3 MUST treat receipt of a non-empty value as TRANSPORT_PARAMETER_ERROR
  fails(parameter(0x2ab2, "01"));
  assert.equal(decode(parameter(0x2ab2, "")).greaseQuicBit, true);
  // reliable-stream-reset#3 reset_stream_at (0x1d): MUST treat the receipt of a non-empty value as an error
  fails(parameter(0x1d, "01"));
  assert.equal(decode(parameter(0x1d, "")).resetStreamAt, true);
});

test("min_ack_delay is not greater than max_ack_delay", () => {
  // ack-frequency#3 MUST treat a min_ack_delay greater than the max_ack_delay as TRANSPORT_PARAMETER_ERROR
  assert.equal(decode(integer(0xff04de1b, 25_000)).minAckDelay, 25_000);
  fails(integer(0xff04de1b, 25_001));
  fails(integer(0xff04de1b, 2n ** 62n - 1n));
  // Wherever max_ack_delay stands.
  assert.equal(decode(concatBytes(integer(0xff04de1b, 26_000), integer(0x0b, 26))).minAckDelay, 26_000);
  fails(concatBytes(integer(0x0b, 1), integer(0xff04de1b, 1001)));
});

test("version_information", () => {
  // rfc9368#3 Chosen Version (32), Available Versions (32) ...
  const bytes = "00000001" + "6b3343cf" + "00000001";
  assert.deepEqual(decode(parameter(0x11, bytes), "client").versionInformation, {
    chosen: 1,
    available: [0x6b3343cf, 1],
  });
  // rfc9368#4 too short, or its length is not divisible by four
  for (const wrong of ["", "000000", "0000000100", "000000016b3343"]) fails(parameter(0x11, wrong));
  // rfc9368#4 any version equal to zero MUST be treated as a parsing failure
  fails(parameter(0x11, "0000000000000001"));
  fails(parameter(0x11, "00000001" + "00000001" + "00000000"));
  // rfc9368#4 if a server receives a Chosen Version that is not in Available Versions: a parsing failure
  fails(parameter(0x11, "000000016b3343cf"), "client");
  fails(parameter(0x11, "00000001"), "client");
  // rfc9368#3 a server's list need not have it, and MAY be empty
  assert.deepEqual(decode(parameter(0x11, "00000001"), "server").versionInformation, {
    chosen: 1,
    available: [],
  });
});

test("preferred_address", () => {
  // rfc9000#18.2 figure 22
  const v4 = "c0000207" + "1151";
  const v6 = "20010db8000000000000000000000007" + "1152";
  const none4 = "00".repeat(6);
  const none6 = "00".repeat(18);
  const tail = "04aabbccdd" + toHex(TOKEN);
  const address = (text: string) => decode(parameter(0x0d, text)).preferredAddress!;
  assert.deepEqual(address(v4 + v6 + tail), {
    ipv4: { ip: "192.0.2.7", port: 4433 },
    ipv6: { ip: "2001:db8::7", port: 4434 },
    connectionId: fromHex("aabbccdd"),
    statelessResetToken: TOKEN,
  });
  // rfc9000#18.2 an all-zero address and port for the other family
  assert.equal(address(none4 + v6 + tail).ipv4, null);
  assert.equal(address(v4 + none6 + tail).ipv6, null);
  assert.equal(address(v4.slice(0, 8) + "0000" + v6 + tail).ipv4, null, "no port, nowhere to send to");
  // rfc9000#18.2 MUST NOT include a zero-length connection ID: TRANSPORT_PARAMETER_ERROR
  fails(parameter(0x0d, v4 + v6 + "00" + toHex(TOKEN)), "server", /connection ID length/);
  fails(parameter(0x0d, v4 + v6 + "15" + "aa".repeat(21) + toHex(TOKEN)), "server", /connection ID length/);
  const whole = v4 + v6 + tail;
  for (let end = 0; end < whole.length; end += 2) fails(parameter(0x0d, whole.slice(0, end)));
  fails(parameter(0x0d, whole + "00"));
});

test("what was decoded does not alias the handshake's bytes", () => {
  const bytes = concatBytes(parameter(0x0f, "aabb"), parameter(0x02, TOKEN));
  const decoded = decode(bytes);
  bytes.fill(0xff);
  assert.equal(toHex(decoded.initialSourceConnectionId!), "aabb");
  assert.equal(toHex(decoded.statelessResetToken!), toHex(TOKEN));
});
