// Our client and server under the interop runner's contract (HTTP/0.9 over QUIC, "hq-interop"), so that the official runner can
// drive them as well as ours:
//   ROLE            client or server
//   TESTCASE        the runner's name for the case; exit code 127 where we do not know it
//   REQUESTS        URLs to fetch, separated by spaces (client)
//   SSLKEYLOGFILE   TLS secrets go there        QLOGDIR   qlog files go there
//   WWW, DOWNLOADS, UPLOADS, CERTS   folders, by default /www, /downloads, /uploads, /certs (cert.pem, priv.key, ca.pem)
//   LISTEN, PORT    where the server listens, by default :: and 443
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { basename, join } from "node:path";
import { fetchHq, HQ_ALPN } from "../../examples/hq/client.ts";
import { serveHq } from "../../examples/hq/server.ts";
import {
  type Config,
  type Connection,
  Error0RTTRejected,
  memorySessionCache,
  QuicVersion,
  type TlsOptions,
  Transport,
} from "../../src/index.ts";

import { fetchHttp3, serveHttp3 } from "./http3.ts";

/** What the runner takes for "this implementation does not do that". */
const UNSUPPORTED = 127;
/** A third of all packets is lost in some cases. */
const CONFIG: Config = { handshakeTimeout: 60_000, maxIdleTimeout: 30_000 };
/** A client that is to move does so when it has received that much. */
const MOVE_AFTER = 300_000;
/** rfc9000#15: a version nobody speaks. */
const RESERVED = 0x1a2a3a4a;

const BOTH = [
  "handshake",
  "transfer",
  "longrtt",
  "chacha20",
  "retry",
  "keyupdate",
  "v2",
  "versionnegotiation",
  "resumption",
  "zerortt",
  "multiplexing",
  "blackhole",
  "amplificationlimit",
  "multiconnect",
  "handshakeloss",
  "handshakecorruption",
  "transferloss",
  "transfercorruption",
  "ipv6",
  "http3",
  "http3upload",
  "http3post",
  "http3trailers",
  "http3retry",
  "http3keyupdate",
  "http3goaway",
  "http3v2",
  "http3zerortt",
  "http3rebind",
  "http3migration",
  "http3preferred",
  "ecn",
];
/**
 * Rebinding is what a client does not notice. "connectionmigration" has a server offer a preferred address, and a client move
 * to another port in the middle.
 */
const CASES = {
  client: new Set([...BOTH, "rebind-port", "rebind-addr", "connectionmigration"]),
  server: new Set([...BOTH, "rebind-port", "rebind-addr", "connectionmigration"]),
};

const { env } = process;
const role = env["ROLE"];
const testcase = env["TESTCASE"] ?? "";
const folder = (name: string, fallback: string): string => env[name] || fallback;
const certs = folder("CERTS", "/certs");
const folders = {
  www: folder("WWW", "/www"),
  downloads: folder("DOWNLOADS", "/downloads"),
  uploads: folder("UPLOADS", "/uploads"),
};

const http3 = testcase.startsWith("http3");
/** The case of the transport, over whatever. */
const scenario = http3 ? testcase.slice("http3".length) : testcase;
const tls: TlsOptions = { ALPNProtocols: [http3 ? "h3" : HQ_ALPN] };
if (testcase === "chacha20") tls.ciphers = ["chacha20-poly1305"];
// The client begins with version 1, and the server moves it to version 2 (rfc9369#4).
if (scenario === "v2") {
  CONFIG.versions = [QuicVersion.v2, QuicVersion.v1];
  if (role === "client") CONFIG.originalVersion = QuicVersion.v1;
}
if (testcase === "versionnegotiation") {
  CONFIG.versions = [QuicVersion.v1];
  if (role === "client") CONFIG.originalVersion = RESERVED;
}
// What the server may send while the client probes where it moves to is a small part of the file, however slow the probe.
if (scenario === "connectionmigration")
  CONFIG.maxStreamReceiveWindow = CONFIG.initialStreamReceiveWindow = 256_000;

async function serve(): Promise<void> {
  tls.cert = readFileSync(join(certs, "cert.pem"));
  tls.key = readFileSync(join(certs, "priv.key"));
  const transport = new Transport({
    address: env["LISTEN"] || "::",
    port: Number(env["PORT"] || 443),
    verifySourceAddress: scenario === "retry",
  });
  if (scenario === "connectionmigration" || scenario === "preferred")
    CONFIG.preferredAddress = await secondAddress(transport);
  const zerortt = scenario === "zerortt";
  const listener = await (zerortt
    ? transport.listenEarly(tls, { ...CONFIG, earlyData: true })
    : transport.listen(tls, CONFIG));
  process.once("SIGTERM", () => void transport.close());
  console.log("listening");
  if (http3) return serveHttp3(listener, folders, testcase);
  await serveHq(listener, folder("WWW", "/www"), ({ path, bytes }) => {
    if (bytes === null) console.error(`request failed: ${path}`);
  });
}

/** Another port of this machine, where the server is reached as well. */
async function secondAddress(transport: Transport): Promise<NonNullable<Config["preferredAddress"]>> {
  const listen = env["LISTEN"] || "::";
  const other = new Transport({ address: listen });
  await transport.attach(other);
  process.once("SIGTERM", () => void other.close());
  const { port } = other.address();
  const own = (family: "IPv4" | "IPv6") => {
    const any = listen === "::" || (listen === "0.0.0.0" && family === "IPv4");
    const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
    const outer = addresses.find(
      (each) => each.family === family && !each.internal && !each.address.startsWith("fe80"),
    );
    const address = any ? outer?.address : isIP(listen) === (family === "IPv4" ? 4 : 6) ? listen : undefined;
    return address === undefined ? null : { address, port };
  };
  const [ipv4, ipv6] = [own("IPv4"), own("IPv6")];
  return { ...(ipv4 === null ? {} : { ipv4 }), ...(ipv6 === null ? {} : { ipv6 }) };
}

/** @param move called once, when MOVE_AFTER bytes are here. */
async function download(connection: Connection, url: URL, move?: () => Promise<void>): Promise<void> {
  const target = join(folder("DOWNLOADS", "/downloads"), basename(url.pathname));
  // Opened when something comes: thousands of requests may be waiting for their stream.
  let file = -1;
  let received = 0;
  try {
    for await (const chunk of fetchHq(connection, url.pathname)) {
      if (file < 0) file = openSync(target, "w");
      writeSync(file, chunk);
      received += chunk.length;
      if (move !== undefined && received >= MOVE_AFTER) {
        await move();
        move = undefined;
      }
    }
    if (file < 0) file = openSync(target, "w");
  } finally {
    if (file >= 0) closeSync(file);
  }
}

/** A connection for all of `urls`; `early`: with 0-RTT where the server lets it. It stays open until `last`. */
async function fetchAll(urls: readonly URL[], early = false, last?: Promise<unknown>): Promise<void> {
  const first = urls[0]!;
  const host = first.hostname.replace(/^\[|\]$/g, "");
  const address = host.includes(":") ? "::" : "0.0.0.0";
  const transport = new Transport({ address });
  const other = testcase === "connectionmigration" ? new Transport({ address }) : null;
  try {
    const target = { host, port: Number(first.port || 443) };
    const dialed = early ? transport.dialEarly(target, tls, CONFIG) : transport.dial(target, tls, CONFIG);
    const connection = await dialed;
    try {
      try {
        const move = other === null ? undefined : () => moveTo(connection, other);
        await Promise.all(urls.map((url) => download(connection, url, move)));
      } catch (error) {
        if (!(error instanceof Error0RTTRejected)) throw error;
        const again = await connection.nextConnection();
        await Promise.all(urls.map((url) => download(again, url)));
      }
      await last;
    } finally {
      const { cipher, didResume, earlyData } = connection.connectionState();
      const handshakeMs = Math.round(connection.stats().handshakeDuration);
      console.log(JSON.stringify({ handshakeMs, cipher, didResume, earlyData }));
      console.log(JSON.stringify(connection.stats()));
      connection.closeWithError(0, "");
    }
  } finally {
    await transport.close();
    await other?.close();
  }
}

/** rfc9000#9: to another socket, once that is known to work. */
async function moveTo(connection: Connection, transport: Transport): Promise<void> {
  const path = await connection.addPath(transport);
  await path.probe();
  path.switch();
}

async function fetchRequests(): Promise<void> {
  const urls = (env["REQUESTS"] ?? "")
    .split(/\s+/)
    .filter(Boolean)
    .map((text) => new URL(text));
  if (urls.length === 0) throw new Error("REQUESTS is empty");
  tls.ca = readFileSync(join(certs, "ca.pem"));
  if (http3) {
    const stats = await fetchHttp3(urls, folders, testcase, { tls, config: CONFIG });
    for (const one of stats) console.log(JSON.stringify(one));
    return;
  }
  if (["multiconnect", "handshakeloss", "handshakecorruption"].includes(testcase)) {
    for (const url of urls) await fetchAll([url]);
  } else if (testcase === "resumption" || testcase === "zerortt") {
    tls.sessionCache = memorySessionCache();
    const ticket = new Promise((resolve) => (tls.onSessionTicket = resolve));
    await fetchAll(urls.slice(0, 1), false, ticket);
    await fetchAll(urls.slice(1), testcase === "zerortt");
  } else {
    await fetchAll(urls);
  }
}

if (role !== "client" && role !== "server") {
  console.error("ROLE must be client or server");
  process.exitCode = 1;
} else if (!CASES[role].has(testcase)) {
  console.log(`unsupported test case: ${testcase}`);
  process.exitCode = UNSUPPORTED;
} else {
  try {
    await (role === "server" ? serve() : fetchRequests());
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  }
}
