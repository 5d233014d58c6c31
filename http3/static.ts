// Files of a folder, through the library that express serves its own with.

import { realpath } from "node:fs/promises";
import { join, normalize, resolve, sep } from "node:path";
import send from "send";
import { Http3StateError } from "./errors.ts";
import type { NodeRequest, NodeResponse } from "./server.ts";

/** Options of {@link serveFiles}. */
export interface FilesOptions {
  /** Files that stand for a folder. Default `index.html`; false for none. */
  readonly index?: string | readonly string[] | false;
  /** Names that begin with a dot. Default "ignore": as if they did not exist. */
  readonly dotfiles?: "allow" | "deny" | "ignore";
  /** Cache-Control's max-age, ms. Default 0. */
  readonly maxAge?: number;
  /** Cache-Control's immutable. Default false. */
  readonly immutable?: boolean;
  /** Adds header fields before a file is sent. */
  readonly setHeaders?: (response: NodeResponse, path: string) => void;
}

/** How much of a file is read at a time. */
const PART = 262_144;

/**
 * A (req, res) handler that serves the files of a folder: GET and HEAD, content types, ranges, ETag and Last-Modified with the
 * conditions on them (rfc9110#13, rfc9110#14). What leads out of the folder, by dots or by links, does not exist.
 *
 * @param root - the folder
 *
 * @example
 * import { Server, serveFiles } from "quic-ts/http3";
 * import { selfSigned } from "quic-ts";
 * const server = new Server({ ...selfSigned(), handler: serveFiles(".") });
 * await server.listen(4433);
 * await server.close();
 */
export function serveFiles(
  root: string,
  options: FilesOptions = {},
): (request: NodeRequest, response: NodeResponse) => Promise<void> {
  if (typeof root !== "string" || root === "") throw new Http3StateError("serveFiles needs a folder");
  const { index = "index.html", dotfiles = "ignore", maxAge = 0, immutable = false, setHeaders } = options;
  const folder = resolve(root);
  let top: Promise<string> | null = null;
  return async (request, response) => {
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", "GET, HEAD");
      return fail(response, 405);
    }
    const path = request.url!.split("?", 1)[0]!;
    top ??= realpath(folder);
    const real = await top;
    if (!(await isWithin(real, path))) return fail(response, 404);
    const settings: send.SendOptions & { highWaterMark: number } = {
      root: real,
      index: index === false ? false : [index].flat(),
      dotfiles,
      maxAge,
      immutable,
      highWaterMark: PART,
    };
    await new Promise<void>((done) => {
      response.once("close", done);
      const sending = send(request, path, settings);
      sending.on("error", (error: { status?: number; headers?: Record<string, string> }) => {
        for (const [name, value] of Object.entries(error.headers ?? {})) response.setHeader(name, value);
        fail(response, error.status ?? 500);
      });
      sending.on("directory", () => {
        // Relative links of an index need the slash. Not to what another host's name could be taken for.
        response.setHeader("location", `${path.replace(/^\/+/, "/")}/`);
        fail(response, 301);
      });
      if (setHeaders !== undefined) sending.on("headers", () => setHeaders(response, path));
      sending.pipe(response);
    });
  };
}

/** Whether what `path` names lies in `root`; true also for what is not there at all. */
async function isWithin(root: string, path: string): Promise<boolean> {
  let file: string;
  try {
    file = join(root, normalize(decodeURIComponent(path)));
    if (file.includes("\0")) return false;
  } catch {
    return false;
  }
  const real = await realpath(file).catch(() => null);
  return real === null || real === root || real.startsWith(root.endsWith(sep) ? root : root + sep);
}

function fail(response: NodeResponse, status: number): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.statusCode = status;
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.end(`${status}\n`);
}
