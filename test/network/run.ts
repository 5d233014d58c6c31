// `npm run test:network`: path MTU discovery and ECN over real links. Hosts are network namespaces that the test makes itself (see
// hosts.ts); where it may not, those tests are skipped by name. The last test needs loopback alone.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { openSocket } from "../../internal/udp/open.ts";
import {
  type Config,
  type ConnectionStatistics,
  selfSigned,
  type TransportOptions,
} from "../../src/index.ts";
import { Unpacked } from "../interop/building.ts";
import { type CommandLine, Hosts } from "./hosts.ts";
import { Remote } from "./remote.ts";

/** rfc5737, rfc3849: addresses for documentation. They exist within the test's own hosts alone. */
const SERVER4 = "192.0.2.130";
const SERVER6 = "2001:db8:2::2";
const LOOPBACK = "127.0.0.1";
const IPV4_UDP = 28;
const IPV6_UDP = 48;
/** What a search leaves unsettled: MTU_SEARCH_STEP. */
const STEP = 20;
const LARGEST: Config = { maxPacketSize: 65_527 };
const PATIENCE = 40_000;
const MB = 1_000_000;

const { cert, key } = selfSigned({ altNames: [SERVER4, SERVER6, LOOPBACK] });

/** A server and a client, each in a process of its own. */
class Both {
  readonly server: Remote;
  readonly client: Remote;

  constructor(hosts?: Hosts) {
    this.server = new Remote(hosts, "server");
    this.client = new Remote(hosts, "client");
  }

  /** Runs something while there is a connection between them. */
  async connected(
    address: string,
    options: { config?: Config; udp?: NonNullable<TransportOptions["udp"]> },
    body: () => Promise<void>,
  ): Promise<void> {
    const { config = LARGEST, ...socket } = options;
    const { port } = await this.server.do("listen", { address, cert, key, config, ...socket });
    await this.client.do("dial", { address, port, ca: cert, config, ...socket });
    await body();
    await this.client.do("end", {});
    await this.server.do("end", {});
  }

  /** Asks both until what they answer will do. */
  async until(what: string, holds: (stats: ConnectionStatistics) => boolean): Promise<void> {
    const end = performance.now() + PATIENCE;
    for (;;) {
      const all = [await this.client.do("stats", {}), await this.server.do("stats", {})];
      if (all.every(holds)) return;
      const found = all.map(({ mtu }) => mtu).join(" and ");
      assert.ok(performance.now() < end, `never came: ${what}; client and server send ${found} bytes`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.client.close(), this.server.close()]);
  }
}

const socket = await openSocket({ address: LOOPBACK });
const noDf = socket.describe().dontFragment
  ? false
  : "the native socket does not work here, and no other sets DF";
await socket.close();
const hosts = noDf === false ? await Hosts.make(["client", "router", "server"]) : noDf;

describe(
  "between hosts of the test's own",
  {
    skip: typeof hosts === "string" && hosts,
    timeout: 120_000,
  },
  () => {
    // client ——— router ——— server: what the router cannot pass on is lost on the way, and neither end sees why.
    const net = hosts as Hosts;
    let both: Both;
    let near = "";
    let far = "";

    before(async () => {
      near = await net.link(
        { host: "client", addresses: ["192.0.2.2/25", "2001:db8:1::2/64"] },
        { host: "router", addresses: ["192.0.2.1/25", "2001:db8:1::1/64"] },
        1500,
      );
      far = await net.link(
        { host: "router", addresses: ["192.0.2.129/25", "2001:db8:2::1/64"] },
        { host: "server", addresses: [`${SERVER4}/25`, `${SERVER6}/64`] },
        1500,
      );
      await net.forward("router");
      for (const [host, via4, via6] of [
        ["client", "192.0.2.1", "2001:db8:1::1"],
        ["server", "192.0.2.129", "2001:db8:2::1"],
      ] as const) {
        await net.ip(host, ["route", "add", "default", "via", via4]);
        await net.ip(host, ["-6", "route", "add", "default", "via", via6]);
      }
      both = new Both(net);
    });
    after(async () => {
      await both?.close();
      await net.close();
    });

    /** What the router's two links carry; the links of the others keep their 1,500. */
    async function carry(mtu: number): Promise<void> {
      await net.setMtu("router", near, mtu);
      await net.setMtu("router", far, mtu);
    }

    /** Data flows both ways until both ends have found `mtu` less `headers`; all of it has to arrive. */
    async function finds(mtu: number, headers: number): Promise<void> {
      const most = mtu - headers;
      await both.client.do("flow", {});
      await both.until(`datagrams of ${most} bytes`, (stats) => stats.mtu > most - STEP && stats.mtu <= most);
      const { bytes } = await both.client.do("stop", {});
      assert.ok(bytes > 0);
    }

    // rfc8899#5.3, rfc9000#14.3
    for (const mtu of [1500, 1400]) {
      test(`links of ${mtu} bytes: both sides find the size, and all arrives`, async () => {
        await carry(mtu);
        await both.connected(SERVER4, {}, () => finds(mtu, IPV4_UDP));
      });
    }

    test("over IPv6, through a link of 1,400 bytes", async () => {
      await carry(1400);
      await both.connected(SERVER6, {}, () => finds(1400, IPV6_UDP));
    });

    test("the link at our own end is the narrow one: the kernel refuses what is too large", async () => {
      await carry(1500);
      await net.setMtu("client", near, 1400);
      await net.setMtu("router", near, 1400);
      await both.connected(SERVER4, {}, () => finds(1400, IPV4_UDP));
      await net.setMtu("client", near, 1500);
    });

    // rfc8899#4.3
    test("a link that shrinks in the middle of a transfer: the black hole is found, and all arrives", async () => {
      await carry(1500);
      await both.connected(SERVER4, {}, async () => {
        await both.client.do("flow", {});
        await both.until("datagrams for 1,500 bytes", ({ mtu }) => mtu > 1500 - IPV4_UDP - STEP);
        await carry(1300);
        const most = 1300 - IPV4_UDP;
        await both.until(`datagrams of ${most} bytes`, ({ mtu }) => mtu <= most && mtu > most - STEP);
        const before = await both.server.do("stats", {});
        await both.until("data after that", (now) => now.bytesReceived > before.bytesReceived + MB);
        const { bytes } = await both.client.do("stop", {});
        assert.ok(bytes > MB);
      });
    });

    // rfc9000#14.1 … where DF cannot be set: a probe that was fragmented would prove nothing.
    test("without control of DF nothing is searched for, and all arrives", async () => {
      await carry(1300);
      await both.connected(SERVER4, { udp: "dgram" }, async () => {
        await both.client.do("send", { bytes: MB });
        const { mtu, dontFragment } = await both.client.do("stats", {});
        assert.deepEqual({ mtu, dontFragment }, { mtu: 1252, dontFragment: false });
      });
    });

    /** The program that has the router change what passes; the system's, or one unpacked from its package. */
    let nft: CommandLine = { program: "nft", args: [] };
    async function prepareNft(): Promise<string | null> {
      if (await net.run("router", "nft", ["--version"]).catch(() => "")) return null;
      const unpacked = new Unpacked("nft", ["usr", "sbin", "nft"], join(import.meta.dirname, "nft"));
      const missing = await unpacked.prepare("--version", () => null);
      if (missing === null) nft = unpacked.command();
      return missing;
    }

    // rfc9000#13.4.2, rfc9002#7.1
    describe("a router that changes ECN marks", async () => {
      const missing = await prepareNft();
      const options = { skip: missing !== null && `no nft here: ${missing}` };
      const rules = (rule: string) =>
        net.run("router", nft.program, [
          ...nft.args,
          `flush ruleset; add table ip t; add chain ip t c { type filter hook forward priority 0 ; }; ${rule}`,
        ]);
      after(async () => {
        if (missing === null) await net.run("router", nft.program, [...nft.args, "flush ruleset"]);
      });
      /** Sends through it; what the client knows in the end, and what the server's kernel has counted. */
      async function through(rule: string) {
        await carry(1500);
        await rules(rule);
        const before = await net.ecnReceived("server");
        let stats: ConnectionStatistics | null = null;
        await both.connected(SERVER4, { config: {} }, async () => {
          await both.client.do("send", { bytes: 8 * MB });
          stats = await both.client.do("stats", {});
        });
        const counted = await net.ecnReceived("server");
        return { ...stats!, ect0: counted.ect0 - before.ect0, ce: counted.ce - before.ce };
      }

      test("marks some of it: counted, and heeded as losses would be", options, async (t) => {
        const free = await through("");
        const found = await through("add rule ip t c ip ecn ect0 numgen inc mod 20 0 ip ecn set ce");
        const window = (of: ConnectionStatistics): string => `${(of.congestionWindow / 1000).toFixed(0)} KB`;
        t.diagnostic(
          `${found.ce} of ${found.packetsSent} packets marked, ${found.packetsLost} lost: ` +
            `a window of ${window(found)}, and of ${window(free)} without marks`,
        );
        assert.equal(found.ecn, "capable");
        assert.ok(found.ect0 > 0 && found.ce > 0);
        assert.ok(found.congestionWindow < free.congestionWindow / 2, "nothing came of it");
        assert.ok(
          found.ecnCongested > 0 && found.ecnCongested <= found.ce,
          `${found.ecnCongested} of ${found.ce}`,
        );
      });

      for (const [what, mark] of [
        ["bleaches", "not-ect"],
        ["changes to ECT(1)", "ect1"],
      ]) {
        test(`${what} all of it: found out, and all arrives`, options, async () => {
          const found = await through(`add rule ip t c ip ecn ect0 ip ecn set ${mark}`);
          assert.equal(found.ecn, "failed");
          assert.equal(found.ect0, 0);
        });
      }
    });
  },
);

/** Best of a few turns: what else the machine does slows some of them, and makes none faster. */
const TURNS = 3;
const BYTES = 100 * MB;
/** Less than what it is: this shows that large datagrams are of use, not how fast the machine is. */
const MARGIN = 1.3;

test(
  "over loopback a ceiling of 65,527 bytes is used, and throughput rises",
  {
    skip: noDf,
    timeout: 120_000,
  },
  async (t) => {
    const both = new Both();
    t.after(() => both.close());
    const usual = { ceiling: 1452, best: Infinity };
    const large = { ceiling: 65_527, best: Infinity };
    for (let turn = 0; turn < TURNS; turn++) {
      for (const each of [usual, large]) {
        await both.connected(LOOPBACK, { config: { maxPacketSize: each.ceiling } }, async () => {
          const most = Math.min(each.ceiling, 65_535 - IPV4_UDP);
          await both.client.do("send", { bytes: 20 * MB });
          const { ms } = await both.client.do("send", { bytes: BYTES });
          each.best = Math.min(each.best, ms);
          const { mtu } = await both.client.do("stats", {});
          assert.ok(mtu <= most && mtu > most - STEP, `${mtu} bytes of ${most}`);
        });
      }
    }
    const rate = ({ best }: typeof usual): string => `${(BYTES / best / 1000).toFixed(0)} MB/s`;
    const ratio = usual.best / large.best;
    t.diagnostic(`${rate(usual)} with 1,452 bytes, ${rate(large)} with 65,507: ${ratio.toFixed(2)} times`);
    assert.ok(ratio > MARGIN, `${ratio.toFixed(2)} times`);
  },
);
