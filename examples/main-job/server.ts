// The main job's server process: gets its folder and certificate from the parent, ends when the parent does.

import { Server, serveFiles } from "../../http3/index.ts";

interface Start {
  readonly folder: string;
  readonly cert: string;
  readonly key: string;
}

process.once("message", (message) => {
  const { folder, cert, key } = message as Start;
  void run(folder, cert, key);
});

async function run(folder: string, cert: string, key: string): Promise<void> {
  const server = new Server({ cert, key, handler: serveFiles(folder) });
  process.once("disconnect", () => void server.close());
  await server.listen(0);
  process.send!({ port: server.address()!.port });
}
