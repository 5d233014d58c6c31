import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHex } from "../../internal/protocol/bytes.ts";
import * as c from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { describeFrames } from "../../internal/wire/frame-objects.ts";

const describe = (text: string) => {
  const bytes = fromHex(text.replaceAll(" ", ""));
  return describeFrames(bytes, 0, bytes.length, c.PACKET_ONE_RTT);
};

test("frames in qlog's names", () => {
  const token = "11".repeat(16);
  assert.deepEqual(
    describe(
      "01 02 14 05 01 02 03 04 03 0a 00 00 00 01 02 03 04 04 05 06 05 04 07 06 05 01 aa 07 02 aabb 0f 04 05 01 aa " +
        "0a 04 01 aa 10 07 11 04 07 12 07 13 08 14 07 15 04 07 16 07 17 08 " +
        `18 03 02 01 aa ${token} 19 03 1a 0102030405060708 1b 0807060504030201 1c 0a 08 02 6869 1d 0b 01 68 1e 31 01 aa 0000`,
    ),
    [
      { type: "ping" },
      {
        type: "ack",
        ackDelay: 5,
        ackedRanges: [
          [9, 13],
          [18, 20],
        ],
      },
      { type: "ack", ackDelay: 0, ackedRanges: [[10, 10]], ect0: 1, ect1: 2, ce: 3 },
      { type: "reset_stream", streamId: 4, errorCode: 5, finalSize: 6 },
      { type: "stop_sending", streamId: 4, errorCode: 7 },
      { type: "crypto", offset: 5, length: 1 },
      { type: "new_token", length: 2 },
      { type: "stream", streamId: 4, offset: 5, length: 1, fin: true },
      { type: "stream", streamId: 4, offset: 0, length: 1 },
      { type: "max_data", maximum: 7 },
      { type: "max_stream_data", streamId: 4, maximum: 7 },
      { type: "max_streams", streamType: "bidirectional", maximum: 7 },
      { type: "max_streams", streamType: "unidirectional", maximum: 8 },
      { type: "data_blocked", limit: 7 },
      { type: "stream_data_blocked", streamId: 4, limit: 7 },
      { type: "streams_blocked", streamType: "bidirectional", limit: 7 },
      { type: "streams_blocked", streamType: "unidirectional", limit: 8 },
      { type: "new_connection_id", sequenceNumber: 3, retirePriorTo: 2, connectionId: "aa" },
      { type: "retire_connection_id", sequenceNumber: 3 },
      { type: "path_challenge", data: "0102030405060708" },
      { type: "path_response", data: "0807060504030201" },
      { type: "connection_close", errorSpace: "transport", errorCode: 10, triggerFrameType: 8, reason: "hi" },
      { type: "connection_close", errorSpace: "application", errorCode: 11, reason: "h" },
      { type: "handshake_done" },
      { type: "datagram", length: 1 },
      { type: "padding", length: 2 },
    ],
  );
});

test("traces hold neither stateless reset tokens nor what JSON cannot say", () => {
  const token = "5a".repeat(16);
  const text = JSON.stringify([
    ...describe(`18 03 02 01 aa ${token}`),
    ...describe("10 ffffffffffffffff 12 d000000000000000 15 04 ffffffffffffffff"),
    ...describe(
      "03 00 ffffffffffffffff 00 00 ffffffffffffffff 00 00 1c ffffffffffffffff ffffffffffffffff 00",
    ),
    ...describe("07 03 5a5a5a"),
  ]);
  assert.ok(!text.includes("5a5a"), "the token");
  assert.ok(!text.includes("null"), text);
});

test("malformed payloads throw as the parser does", () => {
  assert.throws(() => describe("0121"), TransportError);
});
