// The FFI package, where it is installed and may be used. Everything native of ours starts here, so that one place
// decides whether there is any: `QUIC_TS_FFI=0` says no, and so do a missing package, a platform without a prebuilt
// one, and `--permission` without addons. None of these is an error.

import { createRequire } from "node:module";

/** A C function. Addresses go in as numbers: a Buffer argument would cost more than the call. */
export type NativeFunction = (...args: readonly unknown[]) => unknown;

/** A loaded library, or the symbols of this process. */
export interface NativeLibrary {
  /** Declares a function from its C prototype. Throws where the symbol is missing. */
  func(prototype: string): NativeFunction;
}

/** What we use of koffi. */
export interface Koffi {
  /** null: the symbols that this process exports. */
  load(path: string | null): NativeLibrary;
  /** The address of a buffer's memory. */
  address(buffer: ArrayBufferView): bigint;
  proto(definition: string): unknown;
  pointer(type: unknown): unknown;
  register(callback: (...args: never[]) => unknown, type: unknown): bigint;
  unregister(callback: bigint): void;
  /** C's errno, as the last call left it. */
  errno(): number;
}

let loaded: Koffi | null | undefined;

/** koffi, or null where it cannot be had. Loaded at the first call. */
export function loadKoffi(): Koffi | null {
  if (loaded !== undefined) return loaded;
  loaded = null;
  if (process.env["QUIC_TS_FFI"] === "0") return null;
  try {
    loaded = createRequire(import.meta.url)("koffi") as Koffi;
  } catch {
    // Not installed, not for this platform, or addons are not permitted.
  }
  return loaded;
}

/** Memory that C may use: of its own ArrayBuffer, so that V8 never moves it. Its owner must keep it referenced. */
export function nativeBuffer(bytes: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(bytes));
}

/** The address of a buffer as a number: user space ends far below 2^53. */
export function addressOf(koffi: Koffi, buffer: ArrayBufferView): number {
  return Number(koffi.address(buffer));
}
