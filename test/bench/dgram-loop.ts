// The measuring stick: datagrams of the same size through node:dgram alone, nothing of QUIC around them. The receiver
// counts; the sender keeps as many in flight as ours would.

import { createSocket } from "node:dgram";
import { DATAGRAM } from "./transfer.ts";

async function receiver(): Promise<void> {
  const socket = createSocket({ type: "udp4", recvBufferSize: 4 << 20 });
  let got = 0;
  let begun = 0;
  let last = 0;
  socket.on("message", (message) => {
    last = performance.now();
    if (got === 0) begun = last;
    got += message.length;
  });
  socket.bind(0, "127.0.0.1", () => process.send!({ port: socket.address().port }));
  process.on("message", () => process.send!({ bytes: got, seconds: (last - begun) / 1000 }));
  process.once("disconnect", () => socket.close());
}

async function sender(port: number, bytes: number): Promise<void> {
  const socket = createSocket({
    type: "udp4",
    sendBufferSize: 4 << 20,
    lookup: (host, _options, callback) => callback(null, host, 4),
  });
  const payload = new Uint8Array(DATAGRAM).fill(7);
  const total = Math.ceil(bytes / DATAGRAM);
  let sent = 0;
  await new Promise<void>((resolve) => {
    let done = 0;
    const onSent = () => {
      if (++done === total) resolve();
      // Windows of 64, as a batch of ours: the loop's other phases get their turn between them.
      else if (done === sent) setImmediate(more);
    };
    const more = () => {
      for (let i = 0; i < 64 && sent < total; i++, sent++)
        socket.send(payload, 0, DATAGRAM, port, "127.0.0.1", onSent);
    };
    more();
  });
  socket.close();
  process.send!("done");
  process.disconnect();
}

const [role, port, bytes] = process.argv.slice(2);
if (role === "receiver") await receiver();
else if (role === "sender") await sender(Number(port), Number(bytes));
