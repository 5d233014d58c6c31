import { connectClient, type ClientConnectionOptions } from "../connection/client.ts";
import type { Connection } from "../connection/connection.ts";
import { acceptServer, type ServerConnectionOptions } from "../connection/server.ts";
import type { ConnectionFactory } from "./types.ts";

/** Makes real connections; tests of the endpoint alone bring their own. */
export const connections: ConnectionFactory<Connection, ClientConnectionOptions, ServerConnectionOptions> = {
  connect: connectClient,
  accept: acceptServer,
  policy: ({ config: { versions, greaseQuicBit }, earlyData }) => ({
    versions,
    greaseQuicBit,
    earlyData: (earlyData ?? null) !== null,
  }),
};
