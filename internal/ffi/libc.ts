// The socket calls of Linux's C library, through koffi. Every call returns what C returns; after a negative result
// `errno()` says why. Addresses are numbers.

import { getSystemErrorName } from "node:util";
import { loadKoffi, type Koffi, type NativeFunction } from "./koffi.ts";

type Numeric = (...args: readonly number[]) => number;

const PROTOTYPES = {
  socket: "int socket(int, int, int)",
  bind: "int bind(int, uintptr_t, uint32_t)",
  getsockname: "int getsockname(int, uintptr_t, uintptr_t)",
  setsockopt: "int setsockopt(int, int, int, uintptr_t, uint32_t)",
  getsockopt: "int getsockopt(int, int, int, uintptr_t, uintptr_t)",
  sendmsg: "long sendmsg(int, uintptr_t, int)",
  recvmsg: "long recvmsg(int, uintptr_t, int)",
  close: "int close(int)",
} as const;

/** What a socket needs of the C library. Tests put failures between. */
export interface Libc extends Readonly<Record<keyof typeof PROTOTYPES, Numeric>> {
  readonly koffi: Koffi;
  errno(): number;
}

/** Linux numbers its errors the same on x64 and arm64. */
export const EINTR = 4;
export const EIO = 5;
export const EAGAIN = 11;
export const EINVAL = 22;
export const EMSGSIZE = 90;

/** An error as node's sockets have them; `errno` is positive. */
export function systemError(syscall: string, errno: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(`${syscall} ${code}`), { code, errno: -errno, syscall });
}

let loaded: Libc | null | undefined;

/** The C library of a 64-bit, little-endian Linux, glibc or musl; null elsewhere and without koffi. */
export function loadLibc(): Libc | null {
  if (loaded !== undefined) return loaded;
  loaded = null;
  if (process.platform !== "linux" || (process.arch !== "x64" && process.arch !== "arm64")) return null;
  const koffi = loadKoffi();
  if (koffi === null) return null;
  // The process has its C library's symbols already, whichever it is; glibc hides some from the global namespace of a
  // static binary, hence the second try.
  for (const path of [null, "libc.so.6"]) {
    try {
      const library = koffi.load(path);
      const functions: { [name: string]: NativeFunction } = {};
      for (const [name, prototype] of Object.entries(PROTOTYPES)) functions[name] = library.func(prototype);
      loaded = { ...(functions as Omit<Libc, "koffi" | "errno">), koffi, errno: () => koffi.errno() };
      return loaded;
    } catch {
      // Not there.
    }
  }
  return null;
}
