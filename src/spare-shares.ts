// The key share of the next handshake, made while the answer of this one is awaited. Each is used once, and none is kept
// for long.

import { defaultProvider, FfiProvider } from "../internal/crypto/ffi.ts";
import { SPARE_SHARE_TIME } from "../internal/protocol/limits.ts";
import { random } from "./random.ts";

let provider: FfiProvider | null | undefined;
let scheduled = false;
let timer: NodeJS.Timeout | null = null;

/** Something was sent: until the answer comes there is time. */
export function makeSpareShare(): void {
  if (provider === undefined) {
    const chosen = defaultProvider();
    provider = chosen instanceof FfiProvider ? chosen : null;
    provider?.sparesFor(random);
  }
  if (provider === null || !provider.wantsSpare || scheduled) return;
  scheduled = true;
  setImmediate(make);
}

function make(): void {
  scheduled = false;
  provider!.makeSpare();
  if (timer === null) {
    timer = setTimeout(drop, SPARE_SHARE_TIME);
    timer.unref();
  } else timer.refresh();
}

function drop(): void {
  timer = null;
  provider!.dropSpare();
}
