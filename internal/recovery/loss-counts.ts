/** What of a connection's packets was declared lost. */
export class LossCounts {
  packets = 0;
  bytes = 0;
  /** Of those, what had left for a path that was not in use any more: rfc9000#9.4. */
  latePackets = 0;
  lateBytes = 0;

  add(bytes: number, late: boolean): void {
    this.packets++;
    this.bytes += bytes;
    if (!late) return;
    this.latePackets++;
    this.lateBytes += bytes;
  }
}
