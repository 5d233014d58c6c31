// Caddy: a server over quic-go, configured by a file.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PEERS, Unpacked } from "./building.ts";
import type { Assignment, Command, Implementation, Role } from "./implementations.ts";

export class Caddy implements Implementation {
  readonly name = "caddy";
  readonly roles: readonly Role[] = ["server"];
  readonly http3Alone = true;
  readonly #unpacked = new Unpacked("caddy", ["usr", "bin", "caddy"]);

  prepare(): Promise<string | null> {
    return this.#unpacked.prepare("version", (version) => (/\b2\./.test(version) ? null : "not Caddy 2"));
  }

  command({ folder, listen, port }: Assignment): Command {
    const home = join(folder, "caddy");
    mkdirSync(home, { recursive: true });
    const fill: Record<string, string> = {
      listen,
      port: String(port),
      home,
      www: join(folder, "www"),
      certs: join(folder, "certs"),
    };
    const template = readFileSync(join(PEERS, "caddy", "Caddyfile"), "utf8");
    const config = join(home, "Caddyfile");
    writeFileSync(
      config,
      template.replace(/@(\w+)@/g, (_, name: string) => fill[name] ?? ""),
    );
    const { program, args } = this.#unpacked.command();
    const readyFile = join(home, "pid");
    return {
      program,
      args: [...args, "run", "--adapter", "caddyfile", "--config", config, "--pidfile", readyFile],
      readyFile,
      // It keeps its configuration and more in folders of the user's.
      env: { HOME: home, XDG_CONFIG_HOME: home, XDG_DATA_HOME: home },
    };
  }
}
