// What a defect of ours would look like, made on purpose: whoever watches memory has to see it, or watches nothing.
//   faulty.ts overflow|stale      exit code 3: no koffi here; 0: nobody noticed

import { addressOf, loadKoffi, nativeBuffer } from "../../internal/ffi/koffi.ts";

const koffi = loadKoffi();
if (koffi === null) process.exit(3);
const memset = koffi.load(null).func("uintptr_t memset(uintptr_t, int, size_t)");
const memcmp = koffi.load(null).func("int memcmp(uintptr_t, uintptr_t, size_t)");
const { gc } = globalThis as { gc?: () => void };

/** The address of memory that nobody keeps. */
function addressOfGone(bytes: number): number {
  return addressOf(koffi!, nativeBuffer(bytes));
}

/** Lets the collector run and libuv's loop turn. */
async function collect(): Promise<void> {
  for (let i = 0; i < 5; i++) {
    gc!();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

if (process.argv[2] === "overflow") {
  // Bytes behind the buffer's end: the allocator finds them changed when the buffer is freed.
  for (let i = 0; i < 50; i++) memset(addressOfGone(40), 0x41, 41 + (i % 24));
} else {
  const kept = nativeBuffer(4096);
  const gone: number[] = [];
  for (let i = 0; i < 20; i++) gone.push(addressOfGone(4096));
  await collect();
  // The collector has freed it, C reads on: what happens when an owner forgets to hold its memory.
  for (const address of gone) memcmp(address, addressOf(koffi, kept), 4096);
}
await collect();
console.log("nobody noticed");
