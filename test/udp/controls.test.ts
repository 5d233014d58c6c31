// Multicast, broadcast and hop limits, on both sockets, and as a transport gives them.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { InvalidOptionError, Transport, TransportClosedError } from "../../src/index.ts";
import { makeAddress } from "../../internal/protocol/address.ts";
import { KINDS, numbered, on, Probe, turns } from "./sockets.ts";

const GROUP = "239.1.2.3";
const IPV6 = await Probe.open("dgram", { address: "::1" }).then(
  async ({ conn }) => {
    await conn.close();
    return true;
  },
  () => false,
);

for (const { kind, skip } of KINDS) {
  describe(`${kind} socket`, { skip }, () => {
    test("datagrams to a group reach its members, and nobody once they have left", async () => {
      const member = await Probe.open(kind, { address: "0.0.0.0" });
      const sender = await Probe.open(kind, { address: "0.0.0.0" });
      const to = makeAddress(GROUP, member.address.port);
      const controls = sender.conn.controls!();
      controls.setMulticastInterface("127.0.0.1");
      controls.setMulticastTTL(1);
      controls.setMulticastLoopback(true);
      member.conn.controls!().addMembership(GROUP, "127.0.0.1");
      sender.send(to, numbered(20));
      await member.until(1);
      assert.deepEqual(member.got[0]!.bytes, numbered(20));
      member.conn.controls!().dropMembership(GROUP, "127.0.0.1");
      sender.send(to, numbered(40));
      // What comes by itself afterwards was the next to come.
      sender.send(on("127.0.0.1", member.address), numbered(50));
      await member.until(2);
      assert.equal(member.got[1]!.bytes.length, 50);
      assert.throws(() => member.conn.controls!().dropMembership(GROUP, "127.0.0.1"), {
        code: "EADDRNOTAVAIL",
      });
      await Promise.all([member.conn.close(), sender.conn.close()]);
    });

    // Loopback interfaces carry none of their datagrams: what the kernel says of memberships has to do.
    test("IPv6 groups are joined once and left once", { skip: IPV6 ? false : "no IPv6 here" }, async () => {
      const member = await Probe.open(kind, { address: "::" });
      const controls = member.conn.controls!();
      controls.setMulticastInterface("::%lo");
      controls.setMulticastTTL(1);
      controls.setMulticastLoopback(false);
      controls.addMembership("ff02::1234", "::%lo");
      assert.throws(() => controls.addMembership("ff02::1234", "::%lo"), { code: "EADDRINUSE" });
      controls.dropMembership("ff02::1234", "::%lo");
      assert.throws(() => controls.dropMembership("ff02::1234", "::%lo"), { code: "EADDRNOTAVAIL" });
      // IPv4 groups as well, on a socket for both.
      controls.setTTL(10);
      await member.conn.close();
    });

    test("broadcast addresses are the system's to refuse until it is allowed", async () => {
      const a = await Probe.open(kind, { address: "0.0.0.0" });
      const nowhere = makeAddress("255.255.255.255", a.address.port);
      const refused = () =>
        a.sendErrors.filter((each) => (each as NodeJS.ErrnoException).code === "EACCES").length;
      a.send(nowhere, numbered(10));
      await turns(3);
      assert.equal(refused(), 1);
      a.conn.controls!().setBroadcast(true);
      a.send(nowhere, numbered(10));
      await turns(3);
      assert.equal(refused(), 1);
      a.conn.controls!().setBroadcast(false);
      a.send(nowhere, numbered(10));
      await turns(3);
      assert.equal(refused(), 2);
      await a.conn.close();
    });

    test("hop limits: datagrams still arrive, values that cannot be are refused", async () => {
      const [a, b] = [await Probe.open(kind), await Probe.open(kind)];
      const controls = a.conn.controls!();
      controls.setTTL(1);
      controls.setTTL(255);
      a.send(b.address, numbered(10));
      await b.until(1);
      assert.throws(() => controls.setTTL(0));
      assert.throws(() => controls.setTTL(256));
      assert.throws(() => controls.setMulticastTTL(256));
      assert.throws(() => controls.addMembership("no address"));
      assert.throws(() => controls.addMembership("192.0.2.1"), { code: "EINVAL" });
      assert.throws(() => controls.setMulticastInterface("::%none-such"));
      await Promise.all([a.conn.close(), b.conn.close()]);
    });
  });
}

test("flow labels are the native socket's on IPv6", async (t) => {
  const dgram = await Probe.open("dgram");
  assert.throws(() => dgram.conn.controls!().setFlowLabels(true), InvalidOptionError);
  await dgram.conn.close();
  if (KINDS[1].skip !== false || !IPV6) return t.skip("no native socket, or no IPv6");
  const [a, b] = [
    await Probe.open("native", { address: "::1" }),
    await Probe.open("native", { address: "::1" }),
  ];
  for (const label of [false, true]) {
    a.conn.controls!().setFlowLabels(label);
    a.send(b.address, numbered(10));
  }
  await b.until(2);
  const four = await Probe.open("native");
  assert.throws(() => four.conn.controls!().setFlowLabels(true), InvalidOptionError);
  await Promise.all([a.conn.close(), b.conn.close(), four.conn.close()]);
});

test("a transport gives its socket's, from open to close", async () => {
  const transport = new Transport({ address: "127.0.0.1" });
  assert.throws(() => transport.socketControls(), TransportClosedError);
  await transport.open();
  transport.socketControls().setTTL(32);
  await transport.close();
  assert.throws(() => transport.socketControls(), TransportClosedError);
});
