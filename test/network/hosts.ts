// Hosts of a test's own: network namespaces with veth links between them, which no other program of this machine sees and
// which vanish with the process that made them. Linux alone; whoever may not make them gets the reason.

import { type ChildProcess, execFile, spawn, type SpawnOptions } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** A command line. */
export interface CommandLine {
  readonly program: string;
  readonly args: string[];
}

/** One end of a link: the host, and its address there (IPv4 and IPv6 as with `ip address add`). */
export interface End {
  readonly host: string;
  readonly addresses: readonly string[];
}

/** Holds its namespace until its input ends: with us, however that happens. */
const HOLDER = ["sh", "-c", "echo held && exec cat"];
const START_TIMEOUT = 5000;

/** Why a try did not work, in its own words. */
class Refusal extends Error {}

/** Hosts by name. Make them with `makeHosts`. */
export class Hosts implements AsyncDisposable {
  readonly #holders = new Map<string, ChildProcess>();
  /** Whether the namespaces belong to a user namespace, which has to be entered too. */
  readonly #inUserNamespace: boolean;
  #links = 0;

  private constructor(inUserNamespace: boolean) {
    this.#inUserNamespace = inUserNamespace;
  }

  /** Makes them, by the rights that we have or in a user namespace; returns why not where that is so. */
  static async make(names: readonly string[]): Promise<Hosts | string> {
    if (process.platform !== "linux") return "network namespaces are Linux's";
    let reason = "";
    for (const inUserNamespace of process.getuid?.() === 0 ? [false, true] : [true]) {
      const hosts = new Hosts(inUserNamespace);
      try {
        for (const name of names) await hosts.#add(name);
        return hosts;
      } catch (error) {
        await hosts.close();
        reason = error instanceof Refusal ? error.message : String(error);
      }
    }
    return `no network namespaces here: ${reason}`;
  }

  async #add(name: string): Promise<void> {
    const first = this.#holders.keys().next().value;
    // One user namespace for all: what is moved between hosts stays in it.
    const { program, args } =
      first === undefined
        ? { program: "unshare", args: this.#inUserNamespace ? ["-rn", ...HOLDER] : ["-n", ...HOLDER] }
        : this.command(first, "unshare", ["-n", ...HOLDER]);
    const holder = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    let words = "";
    holder.stderr.on("data", (data: Buffer) => (words += data.toString()));
    const signal = AbortSignal.timeout(START_TIMEOUT);
    const held = Promise.race([
      once(holder.stdout, "data", { signal }).then(() => true),
      once(holder, "close", { signal }).then(() => false),
    ]).catch((error: unknown) => {
      words ||= String(error);
      return false;
    });
    if (!(await held)) {
      holder.kill();
      throw new Refusal(words.trim() || `${program} does not work`);
    }
    this.#holders.set(name, holder);
    try {
      await this.ip(name, ["link", "set", "lo", "up"]);
    } catch (error) {
      throw new Refusal((error as Error).message.split("\n").slice(-2).join(" ").trim());
    }
  }

  /** A command line that runs another one on a host. */
  command(host: string, program: string, args: readonly string[]): CommandLine {
    const holder = this.#holders.get(host);
    if (holder === undefined) throw new Error(`there is no host ${host}`);
    const user = this.#inUserNamespace ? ["-U", "--preserve-credentials"] : [];
    return { program: "nsenter", args: ["-t", String(holder.pid), ...user, "-n", "--", program, ...args] };
  }

  /** Starts a program on a host. It has the process id that is returned: signals reach it. */
  spawn(host: string, program: string, args: readonly string[], options: SpawnOptions): ChildProcess {
    const line = this.command(host, program, args);
    return spawn(line.program, line.args, options);
  }

  /** Runs a short program on a host and gives what it says. Throws where it fails. */
  async run(host: string, program: string, args: readonly string[]): Promise<string> {
    const line = this.command(host, program, args);
    return (await execute(line.program, line.args)).stdout;
  }

  async ip(host: string, args: readonly string[]): Promise<void> {
    await this.run(host, "ip", args);
  }

  /** Lays a link between two hosts. Returns the name of its interface on both. */
  async link(a: End, b: End, mtu: number): Promise<string> {
    const name = `veth${this.#links++}`;
    const pid = String(this.#holders.get(b.host)!.pid);
    const peer = ["peer", "name", name, "mtu", String(mtu), "netns", pid];
    await this.ip(a.host, ["link", "add", name, "mtu", String(mtu), "type", "veth", ...peer]);
    for (const { host, addresses } of [a, b]) {
      // Without duplicate address detection an IPv6 address works at once.
      for (const each of addresses) {
        await this.ip(host, ["address", "add", each, "dev", name, ...(each.includes(":") ? ["nodad"] : [])]);
      }
      await this.ip(host, ["link", "set", name, "up"]);
    }
    return name;
  }

  setMtu(host: string, name: string, mtu: number): Promise<void> {
    return this.ip(host, ["link", "set", name, "mtu", String(mtu)]);
  }

  /** Has a host pass on what is not for itself. */
  async forward(host: string): Promise<void> {
    const on = "for file in ipv4/ip_forward ipv6/conf/all/forwarding; do echo 1 > /proc/sys/net/$file; done";
    await this.run(host, "sh", ["-c", on]);
  }

  /** The kernel's count of IPv4 datagrams that a host received with each ECN codepoint; none of either peer's words. */
  async ecnReceived(host: string): Promise<{ notEct: number; ect1: number; ect0: number; ce: number }> {
    const lines = (await this.run(host, "cat", ["/proc/net/netstat"])).split("\n");
    const [names, values] = lines.filter((line) => line.startsWith("IpExt:")).map((line) => line.split(" "));
    const of = (name: string): number => Number(values![names!.indexOf(name)]);
    return {
      notEct: of("InNoECTPkts"),
      ect1: of("InECT1Pkts"),
      ect0: of("InECT0Pkts"),
      ce: of("InCEPkts"),
    };
  }

  async close(): Promise<void> {
    for (const holder of this.#holders.values()) {
      if (holder.exitCode !== null || holder.signalCode !== null) continue;
      const ended = once(holder, "close");
      holder.stdin!.end();
      await ended;
    }
    this.#holders.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
