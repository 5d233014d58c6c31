// ngtcp2's example programs over GnuTLS, with nghttp3: what curl is built on.

import { join } from "node:path";
import { PEERS, Unpacked } from "./building.ts";
import type { Command, Implementation, Role } from "./implementations.ts";

const CLIENT = ["usr", "bin", "gtlsclient"];
const SERVER = ["usr", "sbin", "gtlsserver"];

export class Ngtcp2 implements Implementation {
  readonly name = "ngtcp2";
  readonly roles: readonly Role[] = ["client", "server"];
  readonly http3Alone = true;
  /** It sends one body in all its requests, and does not go on elsewhere after GOAWAY. */
  readonly connectionForEach = ["http3post", "http3upload", "http3goaway"];
  readonly #client = new Unpacked("ngtcp2", CLIENT);
  readonly #server = new Unpacked("ngtcp2", SERVER);

  prepare(): Promise<string | null> {
    return this.#client.prepare("--help", (usage) =>
      usage.includes("--change-local-addr") ? null : "this gtlsclient does not change its address",
    );
  }

  command({ role }: { role: Role }): Command {
    const { program, args } = (role === "client" ? this.#client : this.#server).command();
    return { program: "bash", args: [join(PEERS, "ngtcp2", "peer.sh"), program, ...args] };
  }
}
