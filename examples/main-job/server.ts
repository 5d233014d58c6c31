// The main job's server process: gets its folder and certificate from the parent, ends when the parent does.

import { Transport } from "../../src/index.ts";
import { HQ_ALPN } from "../hq/client.ts";
import { serveHq } from "../hq/server.ts";

interface Start {
  readonly folder: string;
  readonly cert: string;
  readonly key: string;
}

const transport = new Transport({ port: 0 });
process.once("message", (message) => {
  const { folder, cert, key } = message as Start;
  void run(folder, cert, key);
});
process.once("disconnect", () => void transport.close());

async function run(folder: string, cert: string, key: string): Promise<void> {
  const listener = await transport.listen({ cert, key, ALPNProtocols: [HQ_ALPN] });
  process.send!({ port: listener.address().port });
  await serveHq(listener, folder);
}
