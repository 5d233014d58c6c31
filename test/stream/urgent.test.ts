// What was lost needs no connection credit: it never waits behind a stream that does.
import assert from "node:assert/strict";
import { test } from "node:test";
import { REC_STREAM } from "../../internal/recovery/sent-packets.ts";
import { StreamMap, type StreamHost } from "../../internal/stream/streams.ts";
import { defaultTransportParameters } from "../../internal/wire/transport-parameters.ts";

test("rfc9000#13.3 lost data passes a stream whose loss was spurious and that waits for connection credit", () => {
  const host: StreamHost = {
    role: "client",
    now: 0,
    smoothedRtt: 0,
    tracer: null,
    early: false,
    onStreamOpened: () => {},
    onStreamReadable: () => {},
    onStreamWritable: () => {},
    onCredit: () => {},
    onBlocked: () => {},
    wantSend: () => {},
  };
  const streams = new StreamMap(host, {
    initialStreamWindow: 1e6,
    maxStreamWindow: 1e6,
    initialConnectionWindow: 1e6,
    maxConnectionWindow: 1e6,
    maxIncomingStreams: 10,
    maxIncomingUniStreams: 10,
  });
  streams.setPeerParameters({
    ...defaultTransportParameters(),
    initialMaxData: 200,
    initialMaxStreamsBidi: 2,
    initialMaxStreamDataBidiRemote: 1e6,
  });
  const buf = new Uint8Array(2000);
  const first = streams.open(true)!;
  const second = streams.open(true)!;
  first.send!.write(new Uint8Array(100), false);
  second.send!.write(new Uint8Array(100), false);
  const sent: number[][] = [];
  const sink = { addRecord: (...record: number[]) => void sent.push(record) };
  streams.writeStreamFrames(buf, 0, buf.length, sink);
  assert.equal(sent.length, 2, "the connection's credit is used up");
  first.send!.write(new Uint8Array(100), false);

  streams.onRecordLost(REC_STREAM, first.id, 0, 100);
  streams.onRecordLost(REC_STREAM, second.id, 0, 100);
  streams.onRecordAcked(REC_STREAM, first.id, 0, 100);
  sent.length = 0;
  streams.writeStreamFrames(buf, 0, buf.length, sink);
  assert.deepEqual(sent, [[REC_STREAM, second.id, 0, 100]]);
});
