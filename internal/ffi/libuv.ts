// Readiness of a file descriptor from node's own event loop: libuv's poll handles, which the node binary exports.
//
// One C callback serves all handles. It runs in the poll phase, outside of any scope of node's: what it makes ready
// (promises, ticks) runs when the next immediate has run, so whoever is called arranges for one.

import { addressOf, loadKoffi, nativeBuffer, type Koffi } from "./koffi.ts";
import { systemError } from "./libc.ts";

type Numeric = (...args: readonly number[]) => number;

export const READABLE = 1;
export const WRITABLE = 2;

/** uv_handle_type: UV_POLL. */
const UV_POLL = 8;

const PROTOTYPES = {
  defaultLoop: "uintptr_t uv_default_loop()",
  handleSize: "size_t uv_handle_size(int)",
  pollInit: "int uv_poll_init(uintptr_t, uintptr_t, int)",
  pollStart: "int uv_poll_start(uintptr_t, int, uintptr_t)",
  pollStop: "int uv_poll_stop(uintptr_t)",
  close: "void uv_close(uintptr_t, uintptr_t)",
  ref: "void uv_ref(uintptr_t)",
  unref: "void uv_unref(uintptr_t)",
} as const;

type Functions = { readonly [name in keyof typeof PROTOTYPES]: Numeric };

/** A handle that watches one descriptor. The main thread's only. */
export class PollHandle {
  readonly #uv: Functions;
  /** libuv's memory: referenced until libuv has said that it is done with it. */
  readonly #memory: Uint8Array;
  readonly #address: number;
  readonly #onReady: (status: number, events: number) => void;
  #onClosed: (() => void) | null = null;

  /** @throws a system error of uv_poll_init where libuv refuses the descriptor. */
  constructor(loop: Libuv, fd: number, onReady: (status: number, events: number) => void) {
    this.#uv = loop.call;
    this.#memory = nativeBuffer(loop.handleSize);
    this.#address = addressOf(loop.koffi, this.#memory);
    this.#onReady = onReady;
    const result = this.#uv.pollInit(loop.loop, this.#address, fd);
    if (result !== 0) throw systemError("uv_poll_init", -result);
    loop.handles.set(this.#address, this);
  }

  /** Null, or the system error of uv_poll_start: what was watched before may not be any more. */
  watch(loop: Libuv, events: number): Error | null {
    const result = this.#uv.pollStart(this.#address, events, loop.onPoll);
    return result === 0 ? null : systemError("uv_poll_start", -result);
  }

  ref(): void {
    this.#uv.ref(this.#address);
  }

  unref(): void {
    this.#uv.unref(this.#address);
  }

  /** Stops and closes; `then` is called when the descriptor may be closed. */
  close(loop: Libuv, then: () => void): void {
    this.#onClosed = then;
    this.#uv.pollStop(this.#address);
    this.#uv.close(this.#address, loop.onClose);
  }

  /** @internal */
  ready(status: number, events: number): void {
    if (this.#onClosed === null) this.#onReady(status, events);
  }

  /** @internal */
  closed(loop: Libuv): void {
    loop.handles.delete(this.#address);
    this.#onClosed?.();
  }
}

/** The event loop of the main thread. */
export class Libuv {
  readonly koffi: Koffi;
  readonly call: Functions;
  readonly loop: number;
  readonly handleSize: number;
  /** Addresses of C functions that call us. Never unregistered: libuv may call until the process ends. */
  readonly onPoll: number;
  readonly onClose: number;
  /** By the address of their memory, which this keeps alive. */
  readonly handles = new Map<number, PollHandle>();

  constructor(koffi: Koffi) {
    this.koffi = koffi;
    const library = koffi.load(null);
    const functions: { [name: string]: unknown } = {};
    for (const [name, prototype] of Object.entries(PROTOTYPES)) functions[name] = library.func(prototype);
    this.call = functions as Functions;
    this.loop = this.call.defaultLoop();
    this.handleSize = this.call.handleSize(UV_POLL);
    const poll = koffi.proto("void quic_ts_poll(uintptr_t, int, int)");
    const close = koffi.proto("void quic_ts_close(uintptr_t)");
    this.onPoll = Number(
      koffi.register(
        (handle: number, status: number, events: number) => this.handles.get(handle)?.ready(status, events),
        koffi.pointer(poll),
      ),
    );
    this.onClose = Number(
      koffi.register((handle: number) => this.handles.get(handle)?.closed(this), koffi.pointer(close)),
    );
  }
}

let loaded: Libuv | null | undefined;

/** libuv as this process exports it, or null. Call it on the main thread only. */
export function loadLibuv(): Libuv | null {
  if (loaded !== undefined) return loaded;
  loaded = null;
  const koffi = loadKoffi();
  if (koffi === null) return null;
  try {
    loaded = new Libuv(koffi);
  } catch {
    // A build that does not export it.
  }
  return loaded;
}
