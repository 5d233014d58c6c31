/** Copies `n` bytes. Short ones by hand: the subarray that `set` needs would cost more than they do. */
export function copyBytes(to: Uint8Array, at: number, from: Uint8Array, start: number, n: number): void {
  if (n > 64) to.set(from.subarray(start, start + n), at);
  else for (let i = 0; i < n; i++) to[at + i] = from[start + i]!;
}
