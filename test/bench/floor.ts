// The floor under ours: packets of the same size sealed, masked and sent in batches, received, unmasked and opened, by
// the same socket and the same AEAD, with nothing of QUIC around them. What protocol logic costs comes on top.

import { ffiProvider } from "../../internal/crypto/ffi.ts";
import { nodeProvider } from "../../internal/crypto/node.ts";
import { makeAddress } from "../../internal/protocol/address.ts";
import { NOT_ECT, type RxBatch } from "../../internal/protocol/batch.ts";
import { openSocket } from "../../internal/udp/open.ts";

const provider = ffiProvider() ?? nodeProvider();
const aead = provider.packetAead("aes-128-gcm", new Uint8Array(16).fill(7), new Uint8Array(12));
const hp = provider.headerProtector("aes-128-gcm", new Uint8Array(16).fill(9));
const HEADER = 12;
const TAG = 16;
const PER_BATCH = 44;
const samples = new Uint8Array(16 * 1024);
const masks = new Uint8Array(16 * 1024);

/** Masks or unmasks the headers of `n` packets of `size` bytes from `at` on. */
function mask(buf: Uint8Array, at: (i: number) => number, n: number): void {
  for (let i = 0; i < n; i++) {
    const from = at(i) + HEADER + 1;
    for (let k = 0; k < 16; k++) samples[16 * i + k] = buf[from + k]!;
  }
  hp.masks(samples.length === 16 * n ? samples : samples.subarray(0, 16 * n), n, masks);
  for (let i = 0; i < n; i++) {
    const start = at(i);
    buf[start]! ^= masks[16 * i]! & 0x1f;
    for (let k = 0; k < 3; k++) buf[start + 9 + k]! ^= masks[16 * i + 1 + k]!;
  }
}

async function receiver(): Promise<void> {
  const socket = await openSocket({ address: "127.0.0.1", port: 0 });
  let got = 0;
  let packets = 0;
  let begun = 0;
  let last = 0;
  let bad = 0;
  socket.start({
    receive(batch: RxBatch) {
      const { slab, offset, length, count } = batch;
      last = performance.now();
      if (packets === 0) begun = last;
      mask(slab, (i) => offset[i]!, count);
      for (let i = 0; i < count; i++) {
        const at = offset[i]!;
        const n = length[i]!;
        const pn = (slab[at + 9]! << 16) | (slab[at + 10]! << 8) | slab[at + 11]!;
        if (!aead.open(slab, at, HEADER, at + HEADER, n - HEADER, pn)) bad++;
        got += n - HEADER - TAG;
        packets++;
      }
    },
    drained() {},
    sendFailed() {},
    failed() {},
  });
  process.send!({ port: socket.address().port });
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    process.send!({ bytes: got, packets, bad, seconds: (last - begun) / 1000, cpu: (user + system) / 1e6 });
  });
  process.once("disconnect", () => void socket.close());
}

async function sender(port: number, bytes: number, size: number): Promise<void> {
  const socket = await openSocket({ address: "127.0.0.1", port: 0 });
  const payload = new Uint8Array(size).fill(7);
  const remote = makeAddress("127.0.0.1", port);
  const perBatch = Math.min(PER_BATCH, Math.floor(65_000 / size));
  const total = Math.ceil(bytes / (size - HEADER - TAG));
  let sent = 0;
  await new Promise<void>((resolve) => {
    const more = (): void => {
      // So many batches a turn, as ours.
      for (let turn = 0; turn < 4 && sent < total; turn++) {
        const tx = socket.batch();
        if (tx === null) return;
        const buf = tx.slab;
        for (let i = 0; i < perBatch; i++) {
          const at = i * size;
          buf.set(payload, at);
          buf[at] = 0x42;
          buf[at + 9] = sent >> 16;
          buf[at + 10] = sent >> 8;
          buf[at + 11] = sent;
          aead.seal(buf, at, HEADER, at + HEADER, size - HEADER - TAG, sent & 0xffffff);
          sent++;
        }
        mask(buf, (i) => i * size, perBatch);
        tx.commit(perBatch * size, size, remote, null, NOT_ECT);
        socket.send(tx);
      }
      if (sent < total) setImmediate(more);
      else resolve();
    };
    socket.start({ receive() {}, drained: () => setImmediate(more), sendFailed() {}, failed() {} });
    more();
  });
  process.send!("done");
  await socket.close();
  process.disconnect();
}

const [role, port, bytes, size] = process.argv.slice(2);
if (role === "receiver") await receiver();
else if (role === "sender") await sender(Number(port), Number(bytes), Number(size));
