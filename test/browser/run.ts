// `npm run test:browser`: a real browser, Chromium without a window, visits a server of ours. Skips by name where there is
// none. QUIC_TS_CHROMIUM names the program, QUIC_TS_SCREENSHOTS a folder that keeps the pictures.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { BrowserContext, Page } from "playwright-core";
import { selfSigned } from "../../src/index.ts";
import { findChromium, launch, netLogOf } from "./chromium.ts";
import { readNetLog } from "./net-log.ts";
import { Visited } from "./visited.ts";

const RESOURCES = 200;
const UPLOAD = 20_000_000;
const timeout = 60_000;
const program = findChromium();
const skip = program === null ? "no Chromium here: install one, or name it by QUIC_TS_CHROMIUM" : false;

/** Protocols by which the page's resources came, each once, and how many there were. */
const protocols = (page: Page): Promise<{ count: number; names: string[] }> =>
  page.evaluate(() => {
    const entries = performance.getEntriesByType("resource") as PerformanceResourceTiming[];
    return { count: entries.length, names: [...new Set(entries.map((entry) => entry.nextHopProtocol))] };
  });

/** How many squares of the page's field have the colour that only their own sub-resource gives them. */
const painted = (page: Page): Promise<number> =>
  page.evaluate(
    () =>
      [...document.querySelectorAll<HTMLElement>("#field > *")].filter((square) =>
        square instanceof HTMLImageElement
          ? square.complete && square.naturalWidth === 28
          : getComputedStyle(square).backgroundColor !== "rgb(204, 51, 51)",
      ).length,
  );

describe("Chromium", { skip, timeout: 180_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "quic-ts-browser-"));
  const pictures = process.env["QUIC_TS_SCREENSHOTS"] ?? folder;
  const { cert, key } = selfSigned();
  const statelessResetKey = randomBytes(32).toString("hex");
  let server: Visited;
  let browser: BrowserContext;
  let page: Page;
  let origin = "";
  const picture = (name: string) => page.screenshot({ path: join(pictures, `${name}.png`) });

  before(async () => {
    mkdirSync(pictures, { recursive: true });
    server = await Visited.start({ port: 0, cert, key, statelessResetKey });
    origin = `https://localhost:${server.port}`;
    browser = await launch({ program: program!, cert, port: server.port, folder });
    page = await browser.newPage();
  });

  after(async () => {
    await browser?.close();
    await server?.kill();
    if (process.env["QUIC_TS_KEEP"] === undefined) rmSync(folder, { recursive: true, force: true });
  });

  /** A visit to the page with all its sub-resources, each of which has to have come, by HTTP/3. */
  async function visit(): Promise<void> {
    await page.goto(`${origin}/?resources=${RESOURCES}`, { waitUntil: "networkidle" });
    assert.deepEqual(await protocols(page), { count: RESOURCES, names: ["h3"] });
    const navigation = await page.evaluate(
      () => (performance.getEntriesByType("navigation")[0] as PerformanceNavigationTiming).nextHopProtocol,
    );
    assert.equal(navigation, "h3");
    assert.equal(await painted(page), RESOURCES);
  }

  test(
    `a page with ${RESOURCES} sub-resources, all of them by h3 on one connection`,
    { timeout },
    async () => {
      await visit();
      await picture("1-page");
      const { counts } = await server.order("look");
      assert.equal(counts.requests, RESOURCES + 1);
      assert.equal(counts.connections, 1);
    },
  );

  test(`an upload of ${UPLOAD / 1e6} MB arrives as it was`, { timeout }, async () => {
    const [sent, answer] = await page.evaluate(async (length) => {
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
      const response = await fetch("/upload", { method: "POST", body: bytes });
      const hex = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      return [hex, (await response.json()) as { bytes: number; sha256: string }];
    }, UPLOAD);
    assert.deepEqual(answer, { bytes: UPLOAD, sha256: sent });
    assert.equal(sent.length, createHash("sha256").digest("hex").length);
  });

  test(
    "a download that the page gives up ends at the server; the connection goes on",
    { timeout },
    async () => {
      const before = (await server.order("look")).counts;
      const received = await page.evaluate(async () => {
        const aborter = new AbortController();
        const response = await fetch("/endless", { signal: aborter.signal });
        const reader = response.body!.getReader();
        let bytes = 0;
        while (bytes < 1_000_000) bytes += (await reader.read()).value!.length;
        aborter.abort();
        return bytes;
      });
      assert.ok(received >= 1_000_000);
      await server.until(({ counts }) => counts.aborted === before.aborted + 1, "the download to end");
      assert.equal(await page.evaluate(async () => (await fetch("/r/0.svg")).status), 200);
      assert.equal((await server.order("look")).counts.connections, before.connections);
    },
  );

  test("on the second visit requests come in 0-RTT", { timeout }, async () => {
    const before = (await server.order("disconnect")).counts;
    await visit();
    await picture("2-second-visit");
    const { counts, earlyPaths } = await server.order("look");
    assert.equal(counts.resumed, before.resumed + 1);
    assert.ok(counts.early > 0, "no request came early: see QUIC_SESSION in the network's log");
    assert.equal(earlyPaths[0], "/");
  });

  test("a server that died and came back: a stateless reset, and the page goes on", { timeout }, async () => {
    await server.kill();
    server = await Visited.start({ port: server.port, cert, key, statelessResetKey });
    // The browser's connection is one that this server does not know.
    const statuses = await page.evaluate(async () => {
      const statuses: (number | string)[] = [];
      for (let i = 0; i < 20 && statuses.at(-1) !== 200; i++) {
        statuses.push(
          await fetch("/r/0.svg").then(
            ({ status }) => status,
            (error: unknown) => String(error),
          ),
        );
      }
      return statuses;
    });
    assert.equal(statuses.at(-1), 200, statuses.join(", "));
    await visit();
    await picture("3-after-restart");
  });

  test("the network's log says the same", { timeout }, async () => {
    assert.deepEqual(server.failures, []);
    await browser.close();
    const { zeroRtt, closed } = readNetLog(netLogOf(folder));
    // The server that came back has other ticket keys: rfc8446#4.2.10 it rejects, and goes on with a whole handshake.
    assert.deepEqual(zeroRtt, ["NotAttempted", "AttemptedAndSucceeded", "AttemptedAndRejected"]);
    // rfc9000#10.3 the one way to tell a peer of a connection of which nothing is known any more.
    assert.ok(
      closed.some((details) => details.includes("stateless reset")),
      closed.join("; "),
    );
  });
});
