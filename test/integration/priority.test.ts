// stream.setPriority over real sockets.
import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidOptionError } from "../../src/index.ts";
import { pair } from "./pair.ts";

const SIZE = 400_000;

test("rfc9218#10 what is urgent arrives first, whatever was written first", async () => {
  await using both = await pair();
  const { client, server } = both;
  const ended: number[] = [];
  const reading = (async () => {
    const all: Promise<void>[] = [];
    for (let i = 0; i < 3; i++) {
      const stream = await server.acceptUniStream();
      all.push(
        (async () => {
          while ((await stream.readMany()).length > 0);
          ended.push(stream.id);
        })(),
      );
    }
    await Promise.all(all);
  })();
  const streams = [client.tryOpenUniStream(), client.tryOpenUniStream(), client.tryOpenUniStream()];
  const [last, second, first] = streams;
  assert.deepEqual(last!.priority, { urgency: 3, incremental: true });
  last!.setPriority({ urgency: 6 });
  second!.setPriority({});
  first!.setPriority({ urgency: 0, incremental: true });
  assert.deepEqual(second!.priority, { urgency: 3, incremental: false });
  assert.throws(() => first!.setPriority({ urgency: 8 }), InvalidOptionError);
  for (const stream of streams) {
    assert.equal(stream.tryWrite(new Uint8Array(SIZE)), SIZE);
    stream.close();
  }
  await reading;
  assert.deepEqual(ended, [first!.id, second!.id, last!.id]);
});
