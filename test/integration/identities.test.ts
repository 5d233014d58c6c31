// Several identities, contexts by name and certificates replaced at run time, over real sockets.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Connection,
  InvalidOptionError,
  type Listener,
  type SniIdentity,
  type TlsOptions,
  Transport,
} from "../../src/index.ts";
import { authority, certificate, clientTls, leaf, noUnhandledRejections, serverTls } from "./pair.ts";

noUnhandledRejections();

const of = (name: string, keyType: "ec-p256" | "ed25519" = "ec-p256"): SniIdentity =>
  certificate({ issuedBy: authority, altNames: [name], keyType });

async function server(tls: TlsOptions) {
  const acceptor = new Transport({ address: "127.0.0.1" });
  const dialer = new Transport({ address: "127.0.0.1" });
  const listener: Listener = await acceptor.listen(tls);
  const dial = (client: TlsOptions = {}): Promise<Connection> =>
    dialer.dial(`127.0.0.1:${listener.address().port}`, { ...clientTls, sessionCache: null, ...client });
  return {
    listener,
    dial,
    /** Whom the certificate is for that a client gets. */
    async shown(client: TlsOptions = {}): Promise<string> {
      const conn = await dial(client);
      const [certificate] = conn.connectionState().peerCertificates;
      conn.closeWithError();
      (await listener.accept()).closeWithError();
      return certificate!.subjectAltName!;
    },
    async [Symbol.asyncDispose]() {
      await dialer.close();
      await acceptor.close();
    },
  };
}

const { key: _key, cert: _cert, ...bare } = serverTls;

test("identities: by the name asked for and the schemes that the client takes", async () => {
  const identities = [of("a.example"), of("b.example"), of("a.example", "ed25519")];
  await using s = await server({ ...bare, identities });
  assert.equal(await s.shown({ servername: "a.example" }), "DNS:a.example");
  assert.equal(await s.shown({ servername: "b.example" }), "DNS:b.example");
  const sigalgs: TlsOptions["sigalgs"] = ["ed25519", "ecdsa_secp256r1_sha256"];
  const conn = await s.dial({ servername: "a.example", sigalgs });
  assert.equal(conn.connectionState().peerCertificates[0]!.publicKey.asymmetricKeyType, "ec");
  const other = await s.dial({ servername: "a.example", sigalgs: ["ed25519"], verifyPeer: () => {} });
  assert.equal(other.connectionState().peerCertificates[0]!.publicKey.asymmetricKeyType, "ed25519");
  // No scheme in common with any of them.
  await assert.rejects(s.dial({ servername: "a.example", sigalgs: ["rsa_pss_rsae_sha256"] }), {
    alert: "handshake_failure",
    remote: true,
  });
});

test("addContext at run time, with wildcards, replaced and removed; others get the default", async () => {
  await using s = await server(serverTls);
  const byName = (servername: string) => s.shown({ servername, rejectUnauthorized: false });
  const fallback = await s.shown();
  assert.equal(await byName("www.example.com"), fallback);
  s.listener.addContext("*.example.com", of("*.example.com"));
  s.listener.addContext("www.example.com", of("www.example.com"));
  assert.equal(await byName("www.example.com"), "DNS:www.example.com");
  assert.equal(await byName("other.example.com"), "DNS:*.example.com");
  assert.equal(await byName("a.other.example.com"), fallback);
  s.listener.addContext("www.example.com", of("renewed.example.com"));
  assert.equal(await byName("www.example.com"), "DNS:renewed.example.com");
  assert.equal(s.listener.removeContext("www.example.com"), true);
  assert.equal(s.listener.removeContext("www.example.com"), false);
  assert.equal(await byName("www.example.com"), "DNS:*.example.com");
});

test("SNICallback: asked where no context fits, answers with several, and its objects are read once", async () => {
  const asked: (string | null)[] = [];
  const { key, cert } = of("callback.example") as { key: string; cert: string };
  let reads = 0;
  const counted: SniIdentity = {
    cert,
    get key() {
      reads++;
      return key;
    },
  };
  const several = [of("several.example", "ed25519"), of("several.example")];
  await using s = await server({
    ...bare,
    SNICallback: (name) => {
      asked.push(name);
      return name === "callback.example" ? counted : name === "several.example" ? several : null;
    },
  });
  s.listener.addContext("context.example", of("context.example"));
  assert.equal(await s.shown({ servername: "context.example" }), "DNS:context.example");
  assert.deepEqual(asked, []);
  assert.equal(await s.shown({ servername: "callback.example" }), "DNS:callback.example");
  const once = reads;
  for (let i = 0; i < 3; i++) await s.shown({ servername: "callback.example" });
  assert.ok(reads - once <= 3, "compared, not parsed");
  const sigalgs: TlsOptions["sigalgs"] = ["ecdsa_secp256r1_sha256"];
  assert.equal(await s.shown({ servername: "several.example", sigalgs }), "DNS:several.example");
  await assert.rejects(s.dial({ servername: "none.example" }), { alert: "unrecognized_name" });
});

test("setIdentity: new handshakes have the new certificate, connections go on, a bad one changes nothing", async () => {
  await using s = await server(serverTls);
  const before = await s.dial();
  const accepted = await s.listener.accept();
  const serial = (conn: Connection) => conn.connectionState().peerCertificates[0]!.serialNumber;
  const renewed = certificate({ issuedBy: authority });
  s.listener.setIdentity(renewed);
  const after = await s.dial();
  assert.notEqual(serial(after), serial(before));
  const bad: [SniIdentity | SniIdentity[], string][] = [
    [{ key: renewed.key, cert: leaf.cert }, "key"],
    [{ key: renewed.key } as SniIdentity, "cert"],
    [{ key: "nonsense", cert: leaf.cert }, "key"],
    [[], "identity"],
    [null as unknown as SniIdentity, "identity"],
  ];
  for (const [identity, option] of bad) {
    assert.throws(
      () => s.listener.setIdentity(identity),
      (error: unknown) => {
        assert.ok(error instanceof InvalidOptionError);
        assert.equal(error.option, option);
        return true;
      },
    );
  }
  assert.equal(serial(await s.dial()), serial(after));
  const stream = await before.openUniStream();
  await stream.write(Buffer.from("still here"));
  stream.close();
  assert.equal(Buffer.concat(await (await accepted.acceptUniStream()).readMany()).toString(), "still here");
});

test("options that cannot work are refused before anything is opened", async () => {
  await using transport = new Transport({ address: "127.0.0.1" });
  const cases: TlsOptions[] = [
    { ...bare, identities: [] },
    { ...bare, identities: leaf as unknown as [] },
    { ...bare, identities: [{ key: leaf.key } as SniIdentity] },
    bare,
  ];
  for (const tls of cases) await assert.rejects(transport.listen(tls), InvalidOptionError);
  await assert.rejects(
    transport.dial("127.0.0.1:9", { ...clientTls, identities: [leaf] }),
    InvalidOptionError,
  );
});
